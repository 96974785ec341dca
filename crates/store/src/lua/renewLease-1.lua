-- Renews a lease that has not lapsed. Over a link older than the pod's newest it came late, and the place that it
-- names may be left since.
-- KEYS  1 base of the leases
-- ARGV  pod, incarnation, floor, epoch seen, and if the place changed: topic, normal and urgent partition,
--       and the number of the link where that is known
-- Output  'renewed' expiry · 'lapsed' · 'superseded'

local l = lease(arg(1))
local incarnation = tonumber(arg(2))
if l.inc > incarnation then
  put('superseded')
elseif l.inc < incarnation or l.exp <= NOW then
  put('lapsed')
else
  set(l, 'floor', math.max(l.floor, tonumber(arg(3))))
  set(l, 'epoch', arg(4))
  local late = arg(8) and tonumber(arg(8)) < l.link
  if arg(5) and not late then
    set(l, 'topic', arg(5))
    set(l, 'np', arg(6))
    set(l, 'up', arg(7))
  end
  set_lease_end(l, NOW + POD_LEASE_US)
  put('renewed')
  put(str(l.exp))
end
return reply()
