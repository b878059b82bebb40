-- Reserve, settle or look, atomically over all subjects of one request. The rules are those of usage.py, in
-- exact integers below 2^53.
--
-- KEYS  per subject: its counters (hash), its leases (sorted set: "id:tokens:microusd" by end in ms)
-- ARGV  1 operation: "reserve", "settle", "undo": settle what was not made, or "look": neither   2 reservation id   3 now in ms, or "" for this server's clock
--       4 tokens held   5 microusd held   6 lease in ms | tokens to charge   7 0 | microusd to charge
--       then per subject its five limits in the order of `Allowance`, "" for none
-- reply 1 if the operation was done, else 0; now in ms; then per subject the fields of `Usage`, as they are after it

local MINUTE_MS, DAY_MS = 60000, 86400000
local EXPIRIES = 1000

local function whole(x) return string.format('%.0f', x) end

local function month_of(day)
  -- The civil calendar in years that begin on 1 March: the leap day is a year's last.
  local z = day + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local march = math.floor((5 * doy + 2) / 153)
  return (yoe + era * 400) * 12 + march + 2
end

local function drain(a, now)
  local elapsed = now - a.at
  if elapsed < 0 then elapsed = 0 end -- the clock was set back
  a.at = now
  a.requests = a.rpm and math.max(0, a.requests - elapsed * a.rpm) or 0
  a.tokens = a.tpm and math.max(0, a.tokens - elapsed * a.tpm) or 0
end

local function release(a, held_tokens, held_cost, tokens, cost)
  a.concurrent = a.concurrent - 1
  a.held_tokens = math.max(0, a.held_tokens - held_tokens)
  a.held_cost = math.max(0, a.held_cost - held_cost)
  a.tokens = a.tokens + tokens * MINUTE_MS
  a.spent_day = a.spent_day + cost
  a.spent_month = a.spent_month + cost
end

local function expire(a, now)
  local over = redis.call('ZRANGEBYSCORE', a.leases, '-inf', whole(now), 'WITHSCORES', 'LIMIT', 0, EXPIRIES)
  for i = 1, #over, 2 do
    local tokens, cost = string.match(over[i], ':(%d+):(%d+)$')
    tokens, cost = tonumber(tokens), tonumber(cost)
    drain(a, math.max(tonumber(over[i + 1]), a.at))
    release(a, tokens, cost, tokens, cost)
    redis.call('ZREM', a.leases, over[i])
    a.changed = true
  end
end

local function load(i, now)
  local limits = 7 + (i - 1) * 5
  local a = {key = KEYS[2 * i - 1], leases = KEYS[2 * i]}
  a.rpm, a.tpm, a.most = tonumber(ARGV[limits + 1]), tonumber(ARGV[limits + 2]), tonumber(ARGV[limits + 3])
  a.budget_day, a.budget_month = tonumber(ARGV[limits + 4]), tonumber(ARGV[limits + 5])
  local f = redis.call('HMGET', a.key, 'at', 'r', 't', 'ht', 'hc', 'sd', 'sm', 'd', 'm')
  for n = 1, 9 do f[n] = tonumber(f[n]) or 0 end
  a.at, a.requests, a.tokens, a.held_tokens, a.held_cost = f[1], f[2], f[3], f[4], f[5]
  a.spent_day, a.spent_month, a.day, a.month = f[6], f[7], f[8], f[9]
  a.concurrent = redis.call('ZCARD', a.leases)
  if a.concurrent == 0 then a.held_tokens, a.held_cost = 0, 0 end -- the leases were evicted
  local day = math.floor(now / DAY_MS)
  if day > a.day or day < a.day - 1 then -- a clock set back a little does not give a budget twice
    a.day, a.spent_day = day, 0
    local month = month_of(day)
    if month ~= a.month then a.month, a.spent_month = month, 0 end
  end
  if a.at == 0 then a.at = now end
  expire(a, now)
  drain(a, now)
  return a
end

local function fits(a, tokens, cost)
  if a.rpm and a.requests + MINUTE_MS > a.rpm * MINUTE_MS then return false end
  if a.most and a.concurrent >= a.most then return false end
  if a.tpm and tokens > 0 and a.tokens + (a.held_tokens + tokens) * MINUTE_MS > a.tpm * MINUTE_MS then return false end
  if cost == 0 then return true end
  if a.budget_day and a.spent_day + a.held_cost + cost > a.budget_day then return false end
  return not (a.budget_month and a.spent_month + a.held_cost + cost > a.budget_month)
end

local function save(a, lease)
  redis.call('HSET', a.key, 'at', whole(a.at), 'r', whole(a.requests), 't', whole(a.tokens),
    'ht', whole(a.held_tokens), 'hc', whole(a.held_cost), 'sd', whole(a.spent_day), 'sm', whole(a.spent_month),
    'd', whole(a.day), 'm', whole(a.month))
  -- It may go once a new one would be the same: all leases ended, all drained, the budgets' periods over.
  local ttl = 0
  if a.rpm and a.rpm > 0 then ttl = a.requests / a.rpm end
  if a.tpm and a.tpm > 0 then ttl = math.max(ttl, (a.tokens + a.held_tokens * MINUTE_MS) / a.tpm) end
  ttl = lease + ttl
  if a.budget_day then ttl = math.max(ttl, 2 * DAY_MS) end
  if a.budget_month then ttl = math.max(ttl, 32 * DAY_MS) end
  ttl = whole(math.max(math.ceil(ttl) + 1000, redis.call('PTTL', a.key)))
  redis.call('PEXPIRE', a.key, ttl)
  redis.call('PEXPIRE', a.leases, ttl)
end

local now = tonumber(ARGV[3])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local id, held_tokens, held_cost = ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])
local member = id .. ':' .. whole(held_tokens) .. ':' .. whole(held_cost)
local accounts = {}
for i = 1, #KEYS / 2 do accounts[i] = load(i, now) end

local done, lease = true, 0
if ARGV[1] == 'reserve' then
  lease = tonumber(ARGV[6])
  for _, a in ipairs(accounts) do done = done and fits(a, held_tokens, held_cost) end
  for _, a in ipairs(accounts) do
    if done then
      a.requests, a.concurrent = a.requests + MINUTE_MS, a.concurrent + 1
      a.held_tokens, a.held_cost = a.held_tokens + held_tokens, a.held_cost + held_cost
      redis.call('ZADD', a.leases, whole(now + lease), member)
      a.changed = true
    end
  end
elseif ARGV[1] ~= 'look' then
  for _, a in ipairs(accounts) do
    if redis.call('ZREM', a.leases, member) == 1 then
      if ARGV[1] == 'undo' then a.requests = math.max(0, a.requests - MINUTE_MS) end
      release(a, held_tokens, held_cost, tonumber(ARGV[6]), tonumber(ARGV[7]))
      a.changed = true
    end
  end
end

local reply = {done and 1 or 0, now}
for _, a in ipairs(accounts) do
  if a.changed then save(a, lease) end
  for _, field in ipairs({'requests', 'tokens', 'held_tokens', 'concurrent', 'held_cost', 'spent_day', 'spent_month'}) do
    reply[#reply + 1] = a[field]
  end
end
return reply
