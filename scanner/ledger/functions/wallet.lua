-- What a member keeps for later in a campaign.
--
-- Wallet (hash), under wallet:<campaign>:<member>:
--   c<pool number>            how many draws the member has in that pool
--   <pool number>:<grant id>  a locked packet, big-endian: at:6 | expires:6 | prize number:1 | amount:6 | member

local PACKET, PACKET_BYTES_MIN = '>I6I6I1I6', 19
local PACKETS_MAX = 100

-- Whether the expiries can be written: asked before the first write, like everything.
local function read_expiries(key)
  return read('ZCARD', key)
end

local function read_wallet(key)
  local flat = read('HGETALL', key)
  if not flat then
    return nil
  end
  local wallet = { key = key, chances = {}, packets = {}, packets_count = 0, changed = {} }
  for i = 1, #flat, 2 do
    local no = string.match(flat[i], '^c(%d+)$')
    if no then
      wallet.chances[tonumber(no)] = tonumber(flat[i + 1])
    elseif #flat[i + 1] < PACKET_BYTES_MIN then
      return nil
    else
      wallet.packets[flat[i]] = flat[i + 1]
      wallet.packets_count = wallet.packets_count + 1
    end
  end
  return wallet
end

local function add_chances(wallet, no, n)
  local left = (wallet.chances[no] or 0) + n
  wallet.chances[no] = left
  wallet.changed['c' .. no] = left > 0 and integer(left) or false
  wallet.touched = true
end

local function put_packet(wallet, field, packet)
  wallet.packets[field] = packet
  wallet.packets_count = wallet.packets_count + 1
  wallet.changed[field] = packet
  wallet.touched = true
end

local function drop_packet(wallet, field)
  wallet.packets[field] = nil
  wallet.packets_count = wallet.packets_count - 1
  wallet.changed[field] = false
  wallet.touched = true
end

-- The field of the member's oldest packet of a pool that has not expired: the lowest (at, grant id).
local function oldest_packet(wallet, no, now)
  local prefix, oldest, oldest_at = no .. ':', nil, nil
  for field, packet in pairs(wallet.packets) do
    if string.sub(field, 1, #prefix) == prefix then
      local at, expires = unpack_bytes('>I6I6', packet)
      if now < expires and (not oldest or at < oldest_at or (at == oldest_at and field < oldest)) then
        oldest, oldest_at = field, at
      end
    end
  end
  return oldest
end

-- A prize of kind chance is won: the draws go into the wallet at once.
local function win_chances(prize, wallet)
  add_chances(wallet, prize.chance[1], prize.chance[2])
end

-- How a locked packet stands among the expiries.
local function expiry_of(campaign_id, rule, grant, wallet)
  return campaign_id .. '/' .. rule.id .. '/' .. grant .. '/' .. string.match(wallet.key, '[^:]+$')
end

local function write_wallet(wallet)
  for field, value in pairs(wallet.changed) do
    if value then
      call('HSET', wallet.key, field, value)
    else
      call('HDEL', wallet.key, field)
    end
  end
end
