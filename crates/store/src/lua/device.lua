-- Chargers: how they lie in Redis and how they are told.

local DEVICE = {'pod', 'inc', 'ver', 'seq', 'fv', 'con', 'exp', 'reg', 'ov', 'ln', 'lu', 'op', 'rs', 'sk'}

local function blank_device()
  return {pod = '', inc = '0', ver = 0, seq = 0, fv = 0, con = '0', exp = 0, reg = 0, ov = '', ln = '', lu = '', op = 0,
    rs = 0, sk = 0}
end

local function device(cp)
  local d = load_hash('d:' .. cp, blank_device, write_fields)
  d.id = cp
  return d
end

local function has_route(d)
  return d.con == '1' and d.exp > NOW
end

local function put_device(d)
  put(d.id)
  for i = 1, #DEVICE do put(d[DEVICE[i]]) end
end

-- Leaves a tombstone that keeps the version, if this connection is still the current one.
local function tombstone(cp, incarnation, version)
  local d = device(cp)
  if d.con ~= '1' or d.inc ~= incarnation or str(d.ver) ~= version then return false end
  set(d, 'con', '0')
  set(d, 'exp', 0)
  redis.call('ZREM', key('conn'), cp)
  return true
end
