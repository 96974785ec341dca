-- Removes a note that its edge confirmed.
-- KEYS  1 base of the slot
-- ARGV  member of the notes
-- Output  '1' if there was one

put(redis.call('HDEL', key('notes'), arg(1)))
redis.call('ZREM', key('nq'), arg(1))
return reply()
