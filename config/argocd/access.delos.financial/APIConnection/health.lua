-- This script uses no Lua library that Argo CD disables by default, such as string.
local hs = { status = "Progressing", message = "Waits for the operator to look at the object" }
local meta = obj.metadata or {}
local status = obj.status or {}

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

-- A condition of an earlier generation says nothing about this one. As in kstatus, the whole status is about a
-- generation only when the operator has finished with it.
local ready = conditions["Ready"]
local current = ready ~= nil and ready.observedGeneration == meta.generation

local function is(type)
  return current and conditions[type] ~= nil and conditions[type].status == "True"
end

local function words(condition)
  return condition.reason .. ": " .. condition.message
end

local held = status.revocationsHeld or 0

-- Argo CD 3.6 and later show deletionMessage. Earlier versions say "Pending deletion".
if meta.deletionTimestamp ~= nil then
  local bindings = status.bindings or 0
  hs.deletionMessage = "Stays until no ClientBinding needs it to revoke access"
  if bindings > 0 then
    hs.deletionMessage = hs.deletionMessage .. ". ClientBindings that need it: " .. bindings
  end
  if held > 0 then
    hs.deletionMessage = hs.deletionMessage .. "; spec.revocations holds " .. held .. " of them"
  end
  if ready ~= nil and ready.status ~= "True" then
    hs.deletionMessage = hs.deletionMessage .. ". " .. words(ready)
  end
  -- Without the connection the bindings cannot revoke, and a person has to help.
  if conditions["Stalled"] ~= nil and conditions["Stalled"].status == "True" then
    hs.status = "Degraded"
  end
  hs.message = hs.deletionMessage
  return hs
end

if not current then
  if meta.generation ~= nil and meta.generation > 1 then
    hs.message = "Waits for the operator to look at the latest generation"
  end
  return hs
end

if is("Stalled") then
  hs.status = "Degraded"
  hs.message = words(conditions["Stalled"])
elseif is("Ready") then
  hs.status = "Healthy"
  hs.message = ready.message
  if held > 0 then
    hs.message = hs.message .. ". Held by spec.revocations: " .. held .. ". Approve them if they are meant"
  end
else
  -- Also for short failures, because Argo CD fails a sync for Degraded.
  hs.message = words(conditions["Reconciling"] or ready)
end
return hs
