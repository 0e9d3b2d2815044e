-- Draws and grants: claims of a request id, once and for ever.
--
-- Claim record, under requests:<hex>, field <digest:16>.
--
-- Frame after its head (see claim), big-endian: kinds 2 draw, 3 grant, 4 friend
--   records k:2 | member digest:8 | details digest:8 | flags:1 | field, length:1 and its bytes
--   | what is said, length:2 and its bytes (see scan; the id's name and value first, then the member's) | terms
--   | a draw for each pool (see prizes)
-- Flags: 1 the draw was paid; 2 the rules say no: it is answered only where it was done before

local OTHER = '>I2c8c8I1I1c0I2c0'
local ID, MEMBER_SAID = 2, 4
local REFUSED = 2

-- The frame as a table, up to its terms.
local function read_other(frames, at)
  local k, member, details, flags, field, said, next = unpack_bytes(OTHER, frames, at)
  return { k = k, member = member, details = details, flags = flags, field = field,
    said = { unpack_said(said) }, next = next, place = k .. '/' .. field }
end

local function entry_of(session, type, campaign, said)
  return { 'XADD', session.events, '*', 'type', type, 'at', session.at, 'campaign', campaign.id,
    'rules', campaign.version, unpack(said) }
end

-- Adds what was won to an entry; under names of their own where it is the giver's.
local function put_winnings(entry, told, extras, prefix)
  local named = { 'awards', told.awards }
  put_lists(named, told, extras)
  for i = 1, #named, 2 do
    entry[#entry + 1], entry[#entry + 2] = prefix .. named[i], named[i + 1]
  end
end

-- Draws once. Returns the items that are won, and what else the entry says. A friend has no wallet.
local function draw_once(rule, pool, budget, u, v, wallet)
  local prize, amount = draw(rule, pool, budget, u, v)
  if not prize then
    return '', { withheld = amount and amount.name }
  end
  if prize.chance and wallet then
    win_chances(prize, wallet)
  end
  return item_of(prize, amount), {}
end

local function head_of(campaign, claim)
  return campaign.head .. claim.member .. claim.details
end

-- What a draw and a grant have in common: returns the terms, and the frame's draw as a table; or nil and the verdict.
local function judge_request(session, frames, claim, common)
  local record = session.records[claim.place] or try('HGET', session.keys[claim.k], claim.field)
  if type(record) == 'string' and #record >= RECORD_BYTES_MIN then
    return nil, string.sub(record, 9, 24) == claim.member .. claim.details and 'R' .. record or 'M'
  end
  if not session.ready or record then
    return nil, 'Y'
  end
  if common.verdict then
    return nil, common.verdict
  end
  local terms, next = read_terms(session, frames, claim.next, common.plan)
  if not terms then
    return nil, next
  end
  if not common.ready then
    return nil, 'Y'
  end
  if claim.flags >= REFUSED then
    return nil, 'F'
  end
  if not common.rules then
    return nil, 'Y'
  end
  return terms, { read_draw(common.rules[1], frames, next) }
end

local function judge_draw(session, frames, at, common)
  local claim = read_other(frames, at)
  local terms, drawn = judge_request(session, frames, claim, common)
  if not terms then
    return drawn
  end
  local rule, may, resets_at = common.rules[1], true, nil
  if rule.limited then
    may, resets_at = may_count(terms, rule.no, rule)
  end
  if not may then
    return limit_reached(resets_at)
  end
  if claim.flags == 0 then
    if (terms.wallet.chances[rule.no] or 0) < 1 then
      return 'E'
    end
    add_chances(terms.wallet, rule.no, -1)
  end
  if rule.limited then
    count_once(terms, rule.no, common.plan)
  end
  local items, extras = draw_once(rule, common.pools[1], common.budget, drawn[1], drawn[2], terms.wallet)
  local record = head_of(common.campaign, claim) .. items
  local entry = entry_of(session, 'draw.made', common.campaign, claim.said)
  put_winnings(entry, told_of(common.plan, items), extras, '')
  accept(session, claim.place, session.keys[claim.k], claim.field, record, entry)
  return 'A' .. record
end

local function judge_grant(session, frames, at, common)
  local claim = read_other(frames, at)
  local terms, drawn = judge_request(session, frames, claim, common)
  if not terms then
    return drawn
  end
  local wallet, rule, campaign = terms.wallet, common.rules[1], common.campaign
  if wallet.packets_count >= PACKETS_MAX then
    return limit_reached(0)
  end
  local prize, amount = draw(rule, common.pools[1], common.budget, drawn[1], drawn[2])
  if not prize then
    return 'E'
  end
  local items, grant = item_of(prize, amount), claim.said[ID]
  local expires = session.now + rule.expires_after
  put_packet(wallet, rule.no .. ':' .. grant,
    pack_bytes(PACKET, session.now, expires, prize.no, amount) .. claim.said[MEMBER_SAID])
  call_later(session, 'ZADD', session.keys[common.expiries_k], integer(expires),
    expiry_of(campaign.id, rule, grant, wallet))
  local record = head_of(campaign, claim) .. items
  local entry = entry_of(session, 'grant.made', campaign, claim.said)
  put_winnings(entry, told_of(common.plan, items), {}, '')
  entry[#entry + 1], entry[#entry + 2] = 'expires', integer(expires)
  accept(session, claim.place, session.keys[claim.k], claim.field, record, entry)
  return 'A' .. record
end
