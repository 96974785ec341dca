-- Takes a new life with a lease. The same process asking again, because the reply was lost, gets the same. Such a
-- repetition may be an old request that came late: it moves the life nowhere and does not end its draining. A later
-- renewal names the place. That it clears the suspicion is needed where a link opened that knew of no life; over an
-- older link than the pod's newest it does not, nor does it prolong the lease, since the life may be dead.
-- KEYS  1 base of the leases
-- ARGV  pod, last own incarnation, process nonce, topic, normal partition, urgent partition, number of the link or empty
-- Output  'taken' incarnation expiry, whether the lease names that place · 'superseded'

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
local late = arg(7) ~= '' and tonumber(arg(7)) < l.link
if not (repeated and late) then
  set(l, 'sus', '0')
  set_lease_end(l, NOW + POD_LEASE_US)
end
put('taken')
put(str(l.inc))
put(str(l.exp))
put(l.topic == arg(4) and l.np == arg(5) and l.up == arg(6) and '1' or '0')
return reply()
