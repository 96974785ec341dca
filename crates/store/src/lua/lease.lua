-- Leases of pods. 'tl' is the link over which the present life was taken.
local LEASE = {'inc', 'link', 'exp', 'sus', 'dr', 'topic', 'np', 'up', 'floor', 'epoch', 'proc', 'tl'}

local function blank_lease()
  return {inc = 0, link = 0, exp = 0, sus = '0', dr = '0', topic = '', np = '0', up = '0', floor = 0, epoch = '',
    proc = '0', tl = 0}
end

local function lease(pod)
  local l = load_hash('l:' .. pod, blank_lease, write_fields)
  l.id = pod
  return l
end

local function put_lease(l)
  put(l.id)
  for i = 1, 9 do put(l[LEASE[i]]) end
end

local function set_lease_end(l, at)
  set(l, 'exp', at)
  redis.call('ZADD', key('index'), str(at), l.id)
end
