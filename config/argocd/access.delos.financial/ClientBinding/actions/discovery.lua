local annotations = obj.metadata.annotations or {}
local status = obj.status or {}

-- A look is already asked for.
local asked = annotations["access.delos.financial/requestedAt"]
local pending = asked ~= nil and asked ~= "" and asked ~= status.lastHandledRequestedAt

-- The operator makes no call for a binding whose connection is not ready. Use the action of the connection instead.
local waits = false
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" and condition.reason == "ConnectionNotReady" then
    waits = true
  end
end

return {
  ["reconcile"] = {
    ["disabled"] = pending or waits,
    ["iconClass"] = "fa fa-fw fa-sync",
    ["displayName"] = "Reconcile now",
  },
}
