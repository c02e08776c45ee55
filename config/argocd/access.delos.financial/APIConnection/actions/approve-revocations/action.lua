local os = require("os")
local held = (obj.status or {}).revocationsHeld or 0
if held == 0 then
  error("no revocations are held", 0)
end
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
-- As many as are held now, and no more: a later one needs an approval of its own.
-- The time makes it another approval than the last.
obj.metadata.annotations["access.delos.financial/approvedRevocations"] = held .. "@" .. os.date("!%Y-%m-%dT%XZ")
return obj
