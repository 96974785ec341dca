-- Removes dead letters with their commands before their retention ends.
-- KEYS  1 base of the slot
-- ARGV  ids
-- Output  ids of those that were there and were dead letters

local purged, i = {}, 1
while arg(i) do
  local id = arg(i)
  local c = command(id)
  if c and is_dead(c) then
    forget_dead_letter(id)
    purged[#purged + 1] = id
  end
  i = i + 1
end
put(#purged)
for _, id in ipairs(purged) do put(id) end
return reply()
