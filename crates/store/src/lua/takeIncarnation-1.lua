-- Takes a new life with a lease. The same process asking again, because the reply was lost, gets the same. Such a
-- repetition may be an old request that came late: it moves the life nowhere and does not end its draining. A later
-- renewal names the place. That it clears the suspicion is needed where a link opened that knew of no life; over an
-- older link than the pod's newest it does not, nor does it prolong the lease, since the life may be dead. Even if that
-- lease has lapsed it begins no other life, by which the process, that lives on by a newer link, would be superseded.
-- For the same reason a process takes none over an older link than the one over which another process took the present.
-- KEYS  1 base of the leases
-- ARGV  pod, last own incarnation, process nonce, topic, normal partition, urgent partition, number of the link or empty
-- Output  'taken' incarnation expiry, whether the lease names that place · 'superseded'

local l = lease(arg(1))
local own, process, link = tonumber(arg(2)), arg(3), tonumber(arg(7))
local own_process = l.proc == process
if not own_process and (own > 0 and l.inc > own or link and link < l.tl) then
  put('superseded')
  return reply()
end
local late = link and link < l.link
local repeated = own_process and l.inc > own and (late or l.exp > NOW)
if not repeated then
  set(l, 'inc', math.max(l.inc, own, NOW) + 1)
  set(l, 'proc', process)
  set(l, 'tl', link or l.link)
  set(l, 'dr', '0')
  set(l, 'topic', arg(4))
  set(l, 'np', arg(5))
  set(l, 'up', arg(6))
end
if not (repeated and late) then
  set(l, 'sus', '0')
  set_lease_end(l, NOW + POD_LEASE_US)
end
put('taken')
put(l.inc)
put(l.exp)
put(l.topic == arg(4) and l.np == arg(5) and l.up == arg(6) and '1' or '0')
return reply()
