-- Handles timers that are due, the earliest first, and forgets what is listed beyond its retention.
-- KEYS  1 base of the slot
-- ARGV  most timers to handle, charge point and id after which to look for what is forgotten ('' for the front),
--       for how long, in us, a timer must have been due
-- Output  ids handled or held back · claims · outbox entries · notes · next timer ('' for none) · outbox entries ever ·
--         charge point and id after which the next round looks

local SWEPT_A_ROUND = 16

-- After a stall every timer is overdue while the answers wait in the edges: for one pod lease the timers of
-- delivered commands wait. Of a stall within that lease only the tolerated part counts, so that timers fire also
-- where every round comes late. Returns until when they wait.
local function note_round()
  local noted = redis.call('HMGET', key('m'), 'lr', 'hold')
  local last, hold = tonumber(noted[1] or 0), tonumber(noted[2] or 0)
  if redis.call('ZCARD', key('due')) == 0 then return hold end
  if last > 0 and NOW - last > STALL_US then
    hold = last < hold and hold + (NOW - last - STALL_US) or NOW + POD_LEASE_US
    redis.call('HSET', key('m'), 'hold', str(hold))
  end
  if NOW - last >= ROUND_NOTED_US or last > NOW then redis.call('HSET', key('m'), 'lr', str(NOW)) end
  return hold
end

local hold = note_round()
local due = redis.call('ZRANGEBYSCORE', key('due'), '-inf', str(NOW - tonumber(arg(4))), 'LIMIT', 0, arg(1))
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
  if kind then handled[#handled + 1] = id end
  if kind == 'timer' and c.st == 'D' and NOW < hold then
    set(c, 'ti', hold)
  elseif kind then
    decide(c, {kind = kind})
    local claimed = claim_lanes(c.cp, false)
    claims.count = claims.count + claimed.count
    for i = 1, #claimed do claims[#claims + 1] = claimed[i] end
  end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('dl'), '-inf', str(NOW), 'LIMIT', 0, FORGOTTEN_A_ROUND)) do
  forget_dead_letter(id)
end

-- Redis forgets ended commands itself, but not that they are listed.
local swept = redis.call('ZRANGEBYLEX', key('all'), after_listed(arg(2), arg(3)), '+', 'LIMIT', 0, SWEPT_A_ROUND)
for _, member in ipairs(swept) do
  local _, id = listed(member)
  if redis.call('EXISTS', key('c:' .. id), key('e:' .. id)) == 0 then redis.call('ZREM', key('all'), member) end
end

put(#handled)
for _, id in ipairs(handled) do put(id) end
put_claimed(claims)
local answer = reply()
put(redis.call('XLEN', key('out')))
put(redis.call('HLEN', key('notes')))
local head_of_due = redis.call('ZRANGE', key('due'), 0, 0, 'WITHSCORES')
put(head_of_due[2] and tonumber(head_of_due[2]) or '')
put(redis.call('HGET', key('m'), 'o') or '0')
local cp, id = '', ''
if #swept == SWEPT_A_ROUND then cp, id = listed(swept[#swept]) end
put(cp)
put(id)
return answer
