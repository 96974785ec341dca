-- Writing back what changed, and the reply.

-- Only the end of a command sets a time to live.
local function store_ended(c)
  local retention = is_dead(c) and DEAD_RETENTION_US or RETENTION_US
  -- A dead letter may have been pushed out in the very script in which it ended.
  if not c.gone then
    redis.call('SET', key('e:' .. c.id), pack_ended(c), 'PX', str(math.ceil(retention / 1000)))
  end
  redis.call('DEL', c.key, key('p:' .. c.id), key('h:' .. c.id))
  if c.ik ~= '' then
    redis.call('PEXPIRE', key('k:' .. c.cp .. ':' .. c.ik), str(math.ceil(KEY_RETENTION_US / 1000)))
  end
  redis.call('ZREM', key('due'), c.id)
end

local function write_fields(o)
  local fields = {'HSET', o.key}
  for field in pairs(o.dirty) do
    fields[#fields + 1] = field
    fields[#fields + 1] = plain(o[field])
  end
  redis.call(unpack(fields))
end

local function write_back(o)
  if not next(o.dirty) then return end
  if not o.st then return write_fields(o) end
  if o.just_ended then
    store_ended(o)
  else
    write_fields(o)
    if o.remembers then redis.call('SET', key('h:' .. o.id), o.history) end
    redis.call('ZADD', key('due'), str(next_due(o)), o.id)
  end
  if o.dirty.re or o.accepted then publish(o) end
end

local function reply()
  for i = 1, #order do write_back(order[i]) end
  -- WAIT covers only this connection's last write: a reply that rests on an earlier one writes as well.
  if ARGV[4] == '1' then redis.call('HINCRBY', key('m'), 't', 1) end
  if wants_drain then OUT[2] = '1' end
  return OUT
end

-- Leases of pods. 'tl' is the link over which the present life was taken.
local LEASE = {'inc', 'link', 'exp', 'sus', 'dr', 'topic', 'np', 'up', 'floor', 'epoch', 'proc', 'tl'}
local LEASE_ZEROS = {inc = 'n', link = 'n', exp = 'n', sus = 't', dr = 't', np = 't', up = 't', floor = 'n', proc = 't', tl = 'n'}

local function lease(pod)
  local l = load_hash('l:' .. pod, LEASE, LEASE_ZEROS)
  l.id = pod
  return l
end

local function put_lease(l)
  put(l.id)
  for i = 1, 9 do put(plain(l[LEASE[i]])) end
end

local function set_lease_end(l, at)
  set(l, 'exp', at)
  redis.call('ZADD', key('index'), str(at), l.id)
end
