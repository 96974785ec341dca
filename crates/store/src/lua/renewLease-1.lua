-- Renews a lease that has not lapsed. Over a link older than the pod's newest it came late, and the place that it
-- names may be left since.
-- KEYS  1 base of the leases
-- ARGV  pod, incarnation, floor, epoch seen, number of the link or empty, and if the edge names a place: topic, normal
--       and urgent partition
-- Output  'renewed' expiry, whether the link is an older one · 'lapsed' · 'superseded'

local l = lease(arg(1))
local incarnation = tonumber(arg(2))
if l.inc > incarnation then
  put('superseded')
elseif l.inc < incarnation or l.exp <= NOW then
  put('lapsed')
else
  set(l, 'floor', math.max(l.floor, tonumber(arg(3))))
  set(l, 'epoch', arg(4))
  local late = arg(5) ~= '' and tonumber(arg(5)) < l.link
  if arg(6) and not late then
    set(l, 'topic', arg(6))
    set(l, 'np', arg(7))
    set(l, 'up', arg(8))
  end
  set_lease_end(l, NOW + POD_LEASE_US)
  put('renewed')
  put(l.exp)
  put(late and '1' or '0')
end
return reply()
