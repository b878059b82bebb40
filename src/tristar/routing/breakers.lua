-- The breakers of all replicas: what calls came to, and what became of each llm, atomically. The rules are
-- those of breaker.py, in whole milliseconds.
--
-- KEYS  the states (hash: llm -> packed state), the changes (sorted set: llm by version), what was touched
--       when (sorted set: llm by ms), who was last heard when (sorted set: host by ms), and about the whole
--       (hash: epoch, version)
-- ARGV  1 epoch that the caller knows   2 version that it knows of it   3 an epoch, if there is none yet
--       4 now in ms, or "" for this server's clock   5 who is calling: a host, by a name for each connection
--       6 packed list of operations:
--         {"well", llm, policy, permit, calls}   {"ill", llm, policy, permit, Retry-After in ms or -1}
--         {"none", llm, policy, permit}          {"probe", llm, policy, lease in ms}
--         {"merge", llm, policy, period, till, forced, reopened}: a state decided elsewhere; the later period holds
--       policy: failures, failure_ratio, min_calls, window, cooldown, longest cooldown, probes; times in ms
-- reply packed {epoch, version, now, changes since the version known: {llm, period, till, forced, reopened},
--       of each probe its permit or 0}
--
-- A state is {period, till, forced, reopened, consecutive, probes: end, host, ..., window: start, calls,
-- failures, ...}. `till` is 0 while closed. A probe ends with its lease, or when its host falls silent. A period begins with each transition and is named by its time, so that the names
-- of a Redis that forgot everything are new ones all the same.

local CLOSED, OPEN, HALF_OPEN = 0, 1, 2
local PERIOD, TILL, FORCED, REOPENED, CONSECUTIVE, PROBES, WINDOW = 1, 2, 3, 4, 5, 6, 7
local FAILURES, RATIO, MIN_CALLS, WINDOW_MS, COOLDOWN, LONGEST, MOST_PROBES = 1, 2, 3, 4, 5, 6, 7
local BUCKETS = 10
local FORGET_MS, KEEP_MS, PRUNED = 172800000, 2592000000, 20
local SILENT_MS = 5000

local states, changes, touched, heard, whole = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local caller = ARGV[5]

local function text(x) return string.format('%.0f', x) end

local now = tonumber(ARGV[4])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function load(llm)
  local packed = redis.call('HGET', states, llm)
  if packed then return cmsgpack.unpack(packed) end
  return {1, 0, 0, 0, 0, {}, {}}
end

local function state_of(s)
  if s[FORCED] == 1 then return OPEN end
  if s[TILL] == 0 then return CLOSED end
  return now < s[TILL] and OPEN or HALF_OPEN
end

local function begin_period(s)
  s[PERIOD] = math.max(s[PERIOD] + 1, now)
  s[PROBES], s[WINDOW] = {}, {}
end

local function open(s, policy, retry_after)
  local cooldown = math.min(policy[COOLDOWN] * 2 ^ s[REOPENED], policy[LONGEST])
  if retry_after >= 0 then cooldown = math.min(math.max(retry_after, 1000), policy[LONGEST]) end
  s[TILL] = now + cooldown
  begin_period(s)
end

local function close(s)
  s[TILL], s[REOPENED], s[CONSECUTIVE] = 0, 0, 0
  begin_period(s)
end

local function note(s, policy, calls, failures)
  local w = s[WINDOW]
  if #w == 0 or now - w[#w - 2] >= policy[WINDOW_MS] / BUCKETS then
    if #w == 3 * (BUCKETS + 1) then for _ = 1, 3 do table.remove(w, 1) end end
    w[#w + 1], w[#w + 2], w[#w + 3] = now, 0, 0
  end
  w[#w - 1], w[#w] = w[#w - 1] + calls, w[#w] + failures
end

local function is_ill(s, policy)
  if s[CONSECUTIVE] >= policy[FAILURES] then return true end
  local w, calls, failures = s[WINDOW], 0, 0
  for i = 1, #w, 3 do
    if w[i] > now - policy[WINDOW_MS] then calls, failures = calls + w[i + 1], failures + w[i + 2] end
  end
  return calls >= policy[MIN_CALLS] and failures >= policy[RATIO] * calls
end

local function well(s, policy, permit, calls)
  if permit ~= s[PERIOD] then return end
  s[CONSECUTIVE] = 0
  local state = state_of(s)
  if state == HALF_OPEN then close(s) elseif state == CLOSED then note(s, policy, calls, 0) end
end

local function ill(s, policy, permit, retry_after)
  if permit ~= s[PERIOD] then
    if retry_after >= 0 and s[TILL] > 0 then
      s[TILL] = math.max(s[TILL], now + math.min(retry_after, policy[LONGEST]))
    end
  elseif state_of(s) == HALF_OPEN then
    s[REOPENED] = s[REOPENED] + 1
    open(s, policy, retry_after)
  else
    s[CONSECUTIVE] = s[CONSECUTIVE] + 1
    note(s, policy, 1, 1)
    if is_ill(s, policy) or retry_after >= 0 then open(s, policy, retry_after) end
  end
end

local function probe(s, policy, lease)
  local state = state_of(s)
  if state == CLOSED then return s[PERIOD] end
  if state == OPEN then return 0 end
  local p, alive = s[PROBES], {}
  for i = 1, #p, 2 do
    if p[i] > now and tonumber(redis.call('ZSCORE', heard, p[i + 1]) or '0') > now - SILENT_MS then
      alive[#alive + 1], alive[#alive + 2] = p[i], p[i + 1]
    end
  end
  s[PROBES] = alive
  if #alive >= 2 * policy[MOST_PROBES] then return 0 end
  alive[#alive + 1], alive[#alive + 2] = now + lease, caller
  return s[PERIOD]
end

local function abandon(s)
  local p = s[PROBES]
  for i = #p - 1, 1, -2 do
    if p[i + 1] == caller then
      table.remove(p, i)
      table.remove(p, i)
      return
    end
  end
end

local function merge(s, period, till, forced, reopened)
  if period <= s[PERIOD] then return end
  s[PERIOD], s[TILL], s[FORCED], s[REOPENED] = period, till, forced, reopened
  s[CONSECUTIVE], s[PROBES], s[WINDOW] = 0, {}, {}
end

local function save(llm, s, before)
  redis.call('HSET', states, llm, cmsgpack.pack(s))
  redis.call('ZADD', touched, text(now), llm)
  if before ~= s[PERIOD] .. ':' .. s[TILL] then
    redis.call('ZADD', changes, text(redis.call('HINCRBY', whole, 'version', 1)), llm)
  end
end

local function prune()
  for _, llm in ipairs(redis.call('ZRANGEBYSCORE', touched, '-inf', text(now - FORGET_MS), 'LIMIT', 0, PRUNED)) do
    if load(llm)[FORCED] == 1 then
      redis.call('ZADD', touched, text(now), llm)
    else
      redis.call('HDEL', states, llm)
      redis.call('ZREM', changes, llm)
      redis.call('ZREM', touched, llm)
    end
  end
end

redis.call('ZADD', heard, text(now), caller)
local permits = {}
local operations = cmsgpack.unpack(ARGV[6])
for _, o in ipairs(operations) do
  local s = load(o[2])
  local before = s[PERIOD] .. ':' .. s[TILL]
  if o[1] == 'probe' then
    permits[#permits + 1] = probe(s, o[3], o[4])
  elseif o[1] == 'merge' then
    merge(s, o[4], o[5], o[6], o[7])
  else
    -- A permit from after all that is known here: this server has forgotten what came between.
    if o[4] > s[PERIOD] then s = {o[4], 0, 0, 0, 0, {}, {}} end
    if o[1] == 'well' then
      well(s, o[3], o[4], o[5])
    elseif o[1] == 'ill' then
      ill(s, o[3], o[4], o[5])
    elseif o[4] == s[PERIOD] then
      abandon(s)
    end
  end
  save(o[2], s, before)
end
if #operations > 0 then
  prune()
  redis.call('ZREMRANGEBYSCORE', heard, '-inf', text(now - 2 * SILENT_MS))
end

redis.call('HSETNX', whole, 'epoch', ARGV[3])
if #operations > 0 or redis.call('PTTL', whole) < KEEP_MS / 2 then
  for _, key in ipairs(KEYS) do
    if redis.call('PTTL', key) < KEEP_MS / 2 then redis.call('PEXPIRE', key, KEEP_MS) end
  end
end
local epoch = redis.call('HGET', whole, 'epoch')
local version = tonumber(redis.call('HGET', whole, 'version') or '0')
local known = epoch == ARGV[1] and tonumber(ARGV[2]) or 0
local changed = {}
for _, llm in ipairs(redis.call('ZRANGEBYSCORE', changes, '(' .. text(known), '+inf')) do
  local s = load(llm)
  changed[#changed + 1] = {llm, s[PERIOD], s[TILL], s[FORCED], s[REOPENED]}
end
return cmsgpack.pack({epoch, version, now, changed, permits})
