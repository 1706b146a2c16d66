"""What Redis itself does, in Lua: guard rows by version, erase them, say which data set this is.

A version is 16 bytes, compared as four unsigned 32-bit numbers: Lua's numbers are doubles (exact to
2^53) and its strings are compared by the server's locale. A stored value of exactly 16 bytes is a
tombstone. One argument carries many rows: an argument for each would cost more on both sides.
"""

from __future__ import annotations

from hashlib import sha1
from typing import NamedTuple

from freshet.features.packed import Packed


class Script(NamedTuple):
    """Lua text and the name that Redis knows it by."""

    text: bytes
    sha: bytes


def _script(text: str) -> Script:
    return Script(text.encode(), sha1(text.encode(), usedforsecurity=False).hexdigest().encode())


_ORDER = """
local unpack4 = struct.unpack
local function order(x, i, y)
  local a, b, c, d = unpack4('>I4I4I4I4', x, i)
  local e, f, g, h = unpack4('>I4I4I4I4', y, 1)
  if a ~= e then return a - e elseif b ~= f then return b - f elseif c ~= g then return c - g end
  return d - h
end
"""

# KEYS: of rows. ARGV: their lengths, uint32 each, little-endian; all of them in one. Returns how
# many were newer than what is stored.
WRITE = _script(
    _ORDER
    + """
local lengths, rows, at, won = ARGV[1], ARGV[2], 1, 0
for i = 1, #KEYS do
  local length = struct.unpack('<I4', lengths, 4 * i - 3)
  local old = redis.call('GETRANGE', KEYS[i], 0, 15)
  if #old < 16 or order(rows, at, old) > 0 then
    redis.call('SET', KEYS[i], string.sub(rows, at, at + length - 1))
    won = won + 1
  end
  at = at + length
end
return won
"""
)

# For how long a tombstone refuses what is older, as tables of Cassandra do it unless told otherwise
# (`gc_grace_seconds`): no writer was away for longer, and tombstones do not grow without end.
TOMBSTONE_MS = b"%d" % (10 * 24 * 3_600_000)

# KEYS: to erase. ARGV: the version of the tombstones; how long they stay, in ms. Returns how many
# rows were there, and not newer.
ERASE = _script(
    _ORDER
    + """
local tombstone, erased = ARGV[1], 0
for i = 1, #KEYS do
  local old = redis.call('GETRANGE', KEYS[i], 0, 16)
  if #old < 16 or order(tombstone, 1, old) >= 0 then
    redis.call('SET', KEYS[i], tombstone, 'PX', ARGV[2])
    if #old > 16 then erased = erased + 1 end
  end
end
return erased
"""
)

# KEYS: to forget. ARGV: the newest version that is. Returns how many rows were there, and not
# newer. What is shorter than a version is a reader's token, and goes, too: what it fetched is old.
FORGET = _script(
    _ORDER
    + """
local version, forgotten = ARGV[1], 0
for i = 1, #KEYS do
  local old = redis.call('GETRANGE', KEYS[i], 0, 16)
  if #old > 0 and (#old < 16 or order(version, 1, old) >= 0) then
    redis.call('DEL', KEYS[i])
    if #old > 16 then forgotten = forgotten + 1 end
  end
end
return forgotten
"""
)

# KEYS: of rows. ARGV: their lengths; all of them in one. What has a copy gets the newer one; a row
# of 16 bytes is a tombstone, which beats a row of its own version. What has none stays without one:
# only the store knows whether this is the newest. A token goes, since what was fetched is old.
UPDATE = _script(
    _ORDER
    + """
local lengths, rows, at = ARGV[1], ARGV[2], 1
for i = 1, #KEYS do
  local length = struct.unpack('<I4', lengths, 4 * i - 3)
  local old = redis.call('GETRANGE', KEYS[i], 0, 15)
  if #old == 16 then
    local newer = order(rows, at, old)
    if newer > 0 or newer == 0 and length == 16 then
      redis.call('SET', KEYS[i], string.sub(rows, at, at + length - 1))
    end
  elseif #old > 0 then
    redis.call('DEL', KEYS[i])
  end
  at = at + length
end
return 0
"""
)

# KEYS: of copies that must go; what is no string is somebody else's.
DROP = _script("""
for i = 1, #KEYS do
  if redis.call('TYPE', KEYS[i]).ok == 'string' then
    redis.call('DEL', KEYS[i])
  end
end
return 0
""")

# KEYS: of rows that are to be copied. ARGV: a token of 15 bytes; how long it holds, in ms. Whoever
# finds nothing leaves the token, and may fill in the row while that is there.
# Source: Nishtala et al., "Scaling Memcache at Facebook" (2013), section 3.2.1, leases.
LEASE = _script("""
for i = 1, #KEYS do
  redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[2], 'NX')
end
return 0
""")

# KEYS: of rows. ARGV: the token; their lengths; all of them in one. A row is filled in where the
# token is: since it was left, nobody has written that row. One of no bytes takes the token away.
FILL = _script("""
local token, lengths, rows, at = ARGV[1], ARGV[2], ARGV[3], 1
for i = 1, #KEYS do
  local length = struct.unpack('<I4', lengths, 4 * i - 3)
  if redis.pcall('GET', KEYS[i]) == token then
    if length > 0 then
      redis.call('SET', KEYS[i], string.sub(rows, at, at + length - 1))
    else
      redis.call('DEL', KEYS[i])
    end
  end
  at = at + length
end
return 0
""")

# KEYS: the marker. ARGV: one to set where there is none. Returns marker, run, replication history,
# eviction.
GENERATION = _script("""
local marker = redis.call('GET', KEYS[1])
if not marker then
  marker = ARGV[1]
  redis.call('SET', KEYS[1], marker)
end
local function fact(section, name)
  return string.match(redis.call('INFO', section), name .. ':([%w-]+)') or ''
end
return {
  marker,
  fact('server', 'run_id'),
  fact('replication', 'master_replid'),
  fact('memory', 'maxmemory_policy'),
}
""")


def arguments(rows: Packed) -> list[bytes]:
    """Rows as scripts take them: their lengths, and all of them in one."""
    lengths = rows.lengths.astype("<u4")
    return [
        lengths.tobytes(),
        rows.data.tobytes(),
    ]
