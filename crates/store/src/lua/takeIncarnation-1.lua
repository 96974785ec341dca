-- Takes a new life with a lease. The same process asking again, because the reply was lost, gets the same. Such a
-- repetition may be an old request that came late: it moves the life nowhere and does not end its draining. A later
-- renewal names the place. That it clears the suspicion is needed where a link opened that knew of no life.
-- KEYS  1 base of the leases
-- ARGV  pod, last own incarnation, process nonce, topic, normal partition, urgent partition
-- Output  'taken' incarnation expiry · 'superseded'

local l = lease(arg(1))
local own, process = tonumber(arg(2)), arg(3)
if own > 0 and l.inc > own and l.proc ~= process then
  put('superseded')
  return reply()
end
local repeated = l.proc == process and l.inc > own and l.exp > NOW
if not repeated then
  set(l, 'inc', math.max(l.inc, own, NOW) + 1)
  set(l, 'proc', process)
  set(l, 'dr', '0')
  set(l, 'topic', arg(4))
  set(l, 'np', arg(5))
  set(l, 'up', arg(6))
end
set(l, 'sus', '0')
set_lease_end(l, NOW + POD_LEASE_US)
put('taken')
put(str(l.inc))
put(str(l.exp))
return reply()
