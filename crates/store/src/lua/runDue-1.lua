-- Handles timers that are due, the earliest first, and forgets listings whose retention ended.
-- KEYS  1 base of the slot
-- ARGV  most timers to handle
-- Output  handled ids · claims · outbox entries · notes · next timer ('' for none)

local due = redis.call('ZRANGEBYSCORE', key('due'), '-inf', str(NOW), 'LIMIT', 0, arg(1))
local handled, claims = {}, {count = 0}
for _, id in ipairs(due) do
  local c = command(id)
  local kind = nil
  if not c then
    -- Open commands have no time to live, so this is damage; it must not block the timers behind it.
    redis.call('ZREM', key('due'), id)
  elseif OPEN[c.st] and c.dl <= NOW and c.mk == '-' then
    kind = 'deadline'
  elseif OPEN[c.st] and c.ti > 0 and c.ti <= NOW then
    kind = 'timer'
  end
  if kind then
    decide(c, {kind = kind})
    handled[#handled + 1] = id
    local claimed = claim_lanes(c.cp, false)
    claims.count = claims.count + claimed.count
    for i = 1, #claimed do claims[#claims + 1] = claimed[i] end
  end
end

local gone = redis.call('ZRANGEBYSCORE', key('gone'), '-inf', str(NOW), 'LIMIT', 0, 100)
if #gone > 0 then
  redis.call('ZREM', key('all'), unpack(gone))
  redis.call('ZREM', key('gone'), unpack(gone))
end

put(str(#handled))
for _, id in ipairs(handled) do put(id) end
put_claimed(claims)
local answer = reply()
put(str(redis.call('XLEN', key('out'))))
put(str(redis.call('HLEN', key('notes'))))
local head_of_due = redis.call('ZRANGE', key('due'), 0, 0, 'WITHSCORES')
put(head_of_due[2] and str(tonumber(head_of_due[2])) or '')
return answer
