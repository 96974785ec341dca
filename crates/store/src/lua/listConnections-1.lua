-- Reads connected charge points by the end of their registration, looking at no more than a few hundred.
-- KEYS  1 base of the slot
-- ARGV  pod ('' for all), score and charge point to go on after, most connections
-- Output  devices · '<score>:<charge point>' to go on after ('' at the end)

local LOOKED_AT = 300
local pod, from, after, most = arg(1), arg(2), arg(3), tonumber(arg(4))
-- Several may share a score. What to go on after is passed only if it is still there.
local at = after ~= '' and redis.call('ZSCORE', key('conn'), after)
local passed = not at or tonumber(at) ~= tonumber(from)
local page = redis.call('ZRANGEBYSCORE', key('conn'), from, '+inf', 'WITHSCORES', 'LIMIT', 0, LOOKED_AT)
local found, last = {}, ''
for i = 1, #page, 2 do
  local d = passed and device(page[i])
  if d and (pod == '' or d.pod == pod) then found[#found + 1] = d end
  if page[i] == after then passed = true end
  last = (i + 1 < #page or #page == 2 * LOOKED_AT) and str(tonumber(page[i + 1])) .. ':' .. page[i] or ''
  if #found >= most then break end
end
put(#found)
for _, d in ipairs(found) do put_device(d) end
put(last)
return reply()
