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

# KEYS: to erase. ARGV: the version of the tombstones. Returns how many rows were there, and not
# newer.
ERASE = _script(
    _ORDER
    + """
local tombstone, erased = ARGV[1], 0
for i = 1, #KEYS do
  local old = redis.call('GETRANGE', KEYS[i], 0, 16)
  if #old < 16 or order(tombstone, 1, old) >= 0 then
    redis.call('SET', KEYS[i], tombstone)
    if #old > 16 then erased = erased + 1 end
  end
end
return erased
"""
)

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
    """Rows as `WRITE` takes them: their lengths, and all of them in one."""
    lengths = rows.lengths.astype("<u4")
    return [
        lengths.tobytes(),
        rows.data.tobytes(),
    ]
