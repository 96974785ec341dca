-- Registers a connection; what was on its way over an older version is due again, and is claimed.
-- KEYS  1 base of the slot
-- ARGV  charge point, pod, incarnation, sequence, first version (0 for a new socket), floor, OCPP version
-- Output  'registered' version kicked claims · 'sequence' · 'socket'

local cp, pod, incarnation = arg(1), arg(2), arg(3)
local sequence, first, floor = tonumber(arg(4)), tonumber(arg(5)), tonumber(arg(6))
local d = device(cp)
local same_edge = d.pod == pod and d.inc == incarnation

if same_edge and sequence == d.seq and d.con == '1' then
  put('registered')
  put(d.ver)
  put('0')
  put('0')
  return reply()
end
if same_edge and sequence <= d.seq then
  put('sequence')
  return reply()
end
if first > 0 and not same_edge and has_route(d) and d.fv > first then
  put('socket')
  return reply()
end

local version = math.max(d.ver, floor, NOW) + 1
local kicked = d.con == '1' and not same_edge
if kicked then
  put_note(cp, 'kick:' .. d.inc .. ':' .. str(d.ver), d.pod, d.inc, 'kick', str(d.ver), str(version))
end
set(d, 'pod', pod)
set(d, 'inc', incarnation)
set(d, 'ver', version)
set(d, 'seq', sequence)
set(d, 'fv', first > 0 and first or version)
set(d, 'con', '1')
set(d, 'exp', NOW + CONNECTION_TTL_US)
set(d, 'reg', NOW)
set(d, 'ov', arg(7))
redis.call('ZADD', key('conn'), str(d.exp), cp)

for _, lane in ipairs({'lu', 'ln'}) do
  local c = d[lane] ~= '' and command(d[lane])
  if c and c.rp ~= '' and c.rv < version then decide(c, {kind = 'displaced'}) end
end
local claimed = claim_lanes(cp, true)
put('registered')
put(version)
put(kicked and '1' or '0')
put_claimed(claimed)
return reply()
