local annotations = obj.metadata.annotations or {}
local status = obj.status or {}

-- Asked for already, and not yet acted upon.
local asked = annotations["access.delos.financial/requestedAt"]
local pending = asked ~= nil and asked ~= "" and asked ~= status.lastHandledRequestedAt

-- While its connection cannot be used a binding makes no call, even when asked: ask the connection.
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
