local annotations = obj.metadata.annotations or {}
local status = obj.status or {}

-- A look is already asked for.
local asked = annotations["access.delos.financial/requestedAt"]
local pending = asked ~= nil and asked ~= "" and asked ~= status.lastHandledRequestedAt

-- The operator takes an approval once. Before it has taken the last one, another one would approve the same revocations twice.
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
