-- Only what Argo CD's closed set of Lua libraries has: no string library, no methods of strings.
local hs = { status = "Progressing", message = "Waits for the operator to look at the object" }
local meta = obj.metadata or {}
local status = obj.status or {}

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

-- A condition that is about an earlier generation says nothing of this one. The status as a whole is about a
-- generation only once the operator is done with it, as kstatus wants it.
local ready = conditions["Ready"]
local current = ready ~= nil and ready.observedGeneration == meta.generation

local function is(type)
  return current and conditions[type] ~= nil and conditions[type].status == "True"
end

local function words(condition)
  return condition.reason .. ": " .. condition.message
end

local held = status.revocationsHeld or 0

-- Argo CD 3.6 and later show deletionMessage; earlier ones say "Pending deletion".
if meta.deletionTimestamp ~= nil then
  local bindings = status.bindings or 0
  hs.deletionMessage = "Stays until its ClientBindings no longer need it to revoke"
  if bindings > 0 then
    hs.deletionMessage = hs.deletionMessage .. ", which are " .. bindings .. " now"
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
    hs.message = hs.message .. ". Held by spec.revocations: " .. held .. ", to be approved if meant"
  end
else
  -- Passing failures, too: Argo CD fails a sync for Degraded.
  hs.message = words(conditions["Reconciling"] or ready)
end
return hs
