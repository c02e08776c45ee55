local os = require("os")
local held = (obj.status or {}).revocationsHeld or 0
if held == 0 then
  error("no revocations are held", 0)
end
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
-- This approves as many revocations as are held now. More of them need another approval.
-- The time makes each approval a new one.
obj.metadata.annotations["access.delos.financial/approvedRevocations"] = held .. "@" .. os.date("!%Y-%m-%dT%XZ")
return obj
