local annotations = obj.metadata.annotations or {}
local status = obj.status or {}

-- Asked for already, and not yet acted upon.
local asked = annotations["access.delos.financial/requestedAt"]
local pending = asked ~= nil and asked ~= "" and asked ~= status.lastHandledRequestedAt

-- An approval is taken once. Until the operator has taken the last one, another would approve twice as many.
local approved = annotations["access.delos.financial/approvedRevocations"]
local taken = approved == nil or approved == ""
local revocations = status.revocations or {}
if revocations.approval ~= nil and revocations.approval.value == approved then
  taken = true
end

return {
  ["reconcile"] = {
    ["disabled"] = pending,
    ["iconClass"] = "fa fa-fw fa-sync",
    ["displayName"] = "Reconcile now",
  },
  ["approve-revocations"] = {
    ["disabled"] = (status.revocationsHeld or 0) == 0 or not taken,
    ["iconClass"] = "fa fa-fw fa-check",
    ["displayName"] = "Approve the revocations that are held",
  },
}
