-- Accepts a command, with its own claim; a known idempotency key is answered with the command it names.
-- KEYS  1 base of the slot
-- ARGV  see accept.lua
-- Output  'accepted' status claims · 'known' id status · 'refused' why limit

accept(1)
return reply()
