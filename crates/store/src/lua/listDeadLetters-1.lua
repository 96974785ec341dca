-- Reads dead letters, a slot's by their end and a charger's by their id, looking at no more than a few hundred.
-- KEYS  1 base of the slot
-- ARGV  charge point ('' for all), letters of the reasons ('' for all), action ('' for all), ended at or after and
--       before ('' for any), score and id to go on after, most dead letters
-- Output  dead letters: command, attempts, replay · '<score>:<id>' to go on after ('' at the end)

local LOOKED_AT = 300
local cp, reasons, action = arg(1), arg(2), arg(3)
local after, before = tonumber(arg(4)), tonumber(arg(5))
local from, from_id, most = arg(6), arg(7), tonumber(arg(8))

local function reason(c)
  if c.st == 'E' then return 'e' end
  return c.rs == REASONS.u and 'u' or 'n'
end

local function matches(c)
  return is_dead(c)
    and (reasons == '' or string.find(reasons, reason(c), 1, true))
    and (action == '' or c.ac == action)
    and (not after or c.en >= after)
    and (not before or c.en < before)
end

-- A page of candidates: their ids, each with the score that names its place.
local function page(offset)
  local found = {}
  if cp ~= '' then
    local members = offset == 0 and
      redis.call('ZRANGEBYLEX', key('all'), after_listed(cp, from_id), '(' .. cp .. '\v', 'LIMIT', 0, LOOKED_AT) or {}
    for _, member in ipairs(members) do
      local _, id = listed(member)
      found[#found + 1] = {id, '0'}
    end
    return found
  end
  local flat = redis.call('ZRANGEBYSCORE', key('dl'), from, '+inf', 'WITHSCORES', 'LIMIT', offset, LOOKED_AT)
  for i = 1, #flat, 2 do found[#found + 1] = {flat[i], str(tonumber(flat[i + 1]))} end
  return found
end

local found, count, looked, last, offset = {}, 0, 0, '', 0
while looked < LOOKED_AT and count < most do
  local candidates = page(offset)
  if #candidates == 0 then
    last = ''
    break
  end
  for _, candidate in ipairs(candidates) do
    local id, score = candidate[1], candidate[2]
    -- Several may share a score; within one, they are in the order of their ids.
    if (score ~= from or id > from_id) and looked < LOOKED_AT and count < most then
      local c = command(id)
      if c and matches(c) then
        put_dead_letter(found, c)
        count = count + 1
      end
      looked = looked + 1
      last = score .. ':' .. id
    end
  end
  offset = offset + #candidates
end
put(count)
for i = 1, #found do put(found[i]) end
put(last)
return reply()
