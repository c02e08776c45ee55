-- This script uses no Lua library that Argo CD disables by default, such as string.
local hs = { status = "Progressing", message = "Waits for the operator to look at the object" }
local meta = obj.metadata or {}
local spec = obj.spec or {}
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

-- The messages of these reasons need no reason before them.
local plain = { Bound = true, Unclaimed = true, Expired = true, Suspended = true, DryRun = true }

local function words(condition)
  if plain[condition.reason] then
    return condition.message
  end
  return condition.reason .. ": " .. condition.message
end

-- Argo CD 3.6 and later show deletionMessage. Earlier versions say "Pending deletion".
if meta.deletionTimestamp ~= nil then
  hs.deletionMessage = "Waits for the operator to revoke the access"
  if is("Stalled") then
    hs.status = "Degraded"
  end
  if current then
    hs.deletionMessage = words(ready)
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
elseif is("Ready") and ready.reason == "Expired" then
  -- The declared state is no access, and the operator has read it back.
  hs.status = "Healthy"
  hs.message = words(ready)
elseif ready.reason == "DryRun" or spec.suspend == true and status.expiredTime == nil then
  hs.status = "Suspended"
  hs.message = words(ready)
elseif is("Ready") then
  hs.status = "Healthy"
  hs.message = words(ready)
else
  -- Also for short failures, because Argo CD fails a sync for Degraded.
  hs.message = words(conditions["Reconciling"] or ready)
end
return hs
