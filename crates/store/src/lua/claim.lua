-- Claims: wherever a lane became free or work became due, the next command of the lane is on its way.

-- The first command with its deadline ahead in a range of scores, and whether the range holds no other.
local function first_waiting(cp, low, high)
  local offset = 0
  while true do
    local ids = redis.call('ZRANGEBYSCORE', key('q:' .. cp), low, high, 'LIMIT', offset, 8)
    for i = 1, #ids do
      local c = command(ids[i])
      if c and c.dl > NOW then return c, offset == 0 and #ids == 1 end
    end
    if #ids < 8 then return nil end
    offset = offset + 8
  end
end

-- The longest waiting command of a lower priority, if it has waited longer than this one.
local function waits_longer(cp, c)
  local oldest = nil
  for priority = tonumber(c.pr) - 1, 0, -1 do
    local low = (3 - priority) * ARRIVALS
    local o = first_waiting(cp, str(low), '(' .. str(low + ARRIVALS))
    if o and o.sc % ARRIVALS < (oldest or c).sc % ARRIVALS then oldest = o end
  end
  return oldest
end

-- The next command of a lane, and how often the longest waiting one is then overtaken. What was claimed before
-- keeps its place.
local function next_of(d, lane)
  if lane == 'lu' then return first_waiting(d.id, '-inf', '(' .. str(ARRIVALS)), d.sk end
  local c, alone = first_waiting(d.id, str(ARRIVALS), '+inf')
  if not c or c.di > 0 then return c, d.sk end
  local oldest = not alone and waits_longer(d.id, c)
  if not oldest then return c, 0 end
  if d.sk >= MAX_OVERTAKES then return oldest, 0 end
  return c, d.sk + 1
end

-- Claims the next of each lane that is free, if there is a route. With force, a backoff does not hold it back.
local function claim_lanes(cp, force)
  local claimed = {count = 0}
  local d = device(cp)
  if not has_route(d) then return claimed end
  for _, lane in ipairs({'lu', 'ln'}) do
    local c, overtakes
    if d[lane] == '' then c, overtakes = next_of(d, lane) end
    if c and (force or c.ti <= NOW) then
      set(d, 'sk', overtakes)
      set(c, 'rp', d.pod)
      set(c, 'ri', d.inc)
      set(c, 'rv', d.ver)
      set(c, 'di', math.max(c.di, NOW) + 1)
      set(c, 'no', '0')
      set(c, 'wb', 0)
      decide(c, {kind = 'claim'})
      claimed.count = claimed.count + 1
      pack(claimed, c, true)
    end
  end
  return claimed
end

local function put_claimed(claimed)
  put(claimed.count)
  for i = 1, #claimed do put(claimed[i]) end
end
