-- Looks at a range of the timers: each must belong to a stored command that is listed for its charger; with
-- mend, drops what belongs to none and lists what is not listed. Counts what is overdue.
-- KEYS  1 base of the slot
-- ARGV  first, how many, '1' to mend, overdue after so many microseconds
-- Output  looked at · overdue · findings, each a kind and a sentence

local first, count, mend, grace = tonumber(arg(1)), tonumber(arg(2)), arg(3) == '1', tonumber(arg(4))
local findings, overdue = {}, 0
local timers = redis.call('ZRANGE', key('due'), first, first + count - 1, 'WITHSCORES')

for i = 1, #timers, 2 do
  local id, c = timers[i], command(timers[i])
  if not c then
    findings[#findings + 1] = 'timer'
    findings[#findings + 1] = id .. ' has a timer but is not stored'
    if mend then redis.call('ZREM', key('due'), id) end
  else
    if tonumber(timers[i + 1]) + grace < NOW then overdue = overdue + 1 end
    if not redis.call('ZSCORE', key('all'), listing(c)) then
      findings[#findings + 1] = 'listing'
      findings[#findings + 1] = id .. ' is stored but not listed'
      if mend then redis.call('ZADD', key('all'), 0, listing(c)) end
    end
  end
end

put(#timers / 2)
put(overdue)
put(#findings / 2)
for i = 1, #findings do put(findings[i]) end
return reply()
