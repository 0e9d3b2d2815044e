-- Draws and grants: claims of a request id, once and for ever.
--
-- Claim record, under requests:<hex>, field <digest:16>.
--
-- Frame, big-endian:
--   kind:1 = 2 draw, 3 grant, 4 friend | records k:2 | campaign k:2 | member digest:8 | details digest:8 | version:16
--   | flags:1 | pools:1 | said:1 | field, length:1 and its bytes | what is said (see scan) | terms
--   | pools (see prizes)
-- Flags: 1 the draw was paid; 2 the rules say no: it is answered only where it was done before

local OTHER = '>I1I2I2c8c8c16I1I1I1I1c0'
local ID, MEMBER_SAID = 2, 4
local REFUSED = 2

-- The frame's head as a table, and what is said.
local function read_other(frame)
  local _, k, campaign_k, member, details, version, flags, count, n, field, next = struct.unpack(OTHER, frame)
  local said = { struct.unpack(said_format(n), frame, next) }
  next, said[n + 1] = said[n + 1], nil
  return { k = k, campaign_k = campaign_k, member = member, details = details, version = version, flags = flags,
    count = count, field = field, said = said, next = next, place = k .. '/' .. field }
end

local function entry_of(session, type, campaign, said)
  return { 'XADD', session.events, '*', 'type', type, 'at', session.at, 'campaign', campaign.id,
    'rules', campaign.version, unpack(said) }
end

-- Adds what was won to an entry; under names of their own where it is the giver's.
local function put_winnings(entry, winnings, prefix)
  local named = { 'awards', awards_of(winnings) }
  for i = 1, put_lists(named, 2, winnings), 2 do
    entry[#entry + 1], entry[#entry + 2] = prefix .. named[i], named[i + 1]
  end
end

local function head_of(campaign, claim)
  return campaign.head .. claim.member .. claim.details
end

-- What a draw and a grant have in common: returns the campaign, terms, rule, pool and draw; or nil and the verdict.
local function judge_request(session, frame, claim)
  local record = session.records[claim.place] or redis.pcall('HGET', session.keys[claim.k], claim.field)
  if type(record) == 'string' and #record >= RECORD_BYTES_MIN then
    return nil, string.sub(record, 9, 24) == claim.member .. claim.details and 'R' .. record or 'M'
  end
  if not session.ready or record then
    return nil, 'Y'
  end
  local campaign, verdict = in_force(session, claim.campaign_k, claim.version)
  if not campaign then
    return nil, verdict
  end
  local terms, next = read_terms(session, frame, claim.next, campaign.plan)
  if not terms then
    return nil, next
  end
  if claim.flags >= REFUSED then
    return nil, 'F'
  end
  local rules, pools, us, vs = read_entered(session, frame, next, claim.count, campaign.plan)
  if not rules then
    return nil, 'Y'
  end
  return campaign, terms, rules[1], pools[1], us[3], vs[1]
end

local function judge_draw(session, frame)
  local claim = read_other(frame)
  local campaign, terms, rule, pool, u, v = judge_request(session, frame, claim)
  if not campaign then
    return terms
  end
  local may, resets_at = true, nil
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
    count_once(terms, rule.no, campaign.plan)
  end
  local winnings = no_winnings(session.winnings)
  local prize, amount = draw(rule, pool, terms.budget, u, v)
  if prize then
    win_for(winnings, rule, prize, amount, terms.wallet)
  elseif amount then
    withhold(winnings, rule, amount)
  end
  local record = head_of(campaign, claim) .. winnings.items
  local entry = entry_of(session, 'draw.made', campaign, claim.said)
  put_winnings(entry, winnings, '')
  accept(session, claim.place, session.keys[claim.k], claim.field, record, entry)
  return 'A' .. record
end

local function judge_grant(session, frame)
  local claim = read_other(frame)
  local campaign, terms, rule, pool, u, v = judge_request(session, frame, claim)
  if not campaign then
    return terms
  end
  local wallet = terms.wallet
  if wallet.packets_count >= PACKETS_MAX then
    return limit_reached(0)
  end
  local prize, amount = draw(rule, pool, terms.budget, u, v)
  if not prize then
    return 'E'
  end
  local winnings, grant = no_winnings(session.winnings), claim.said[ID]
  win(winnings, rule, prize, amount)
  local expires = session.now + rule.expires_after
  put_packet(wallet, rule.no .. ':' .. grant,
    struct.pack(PACKET, session.now, expires, prize.no, amount) .. claim.said[MEMBER_SAID])
  call_later(session, 'ZADD', session.keys[terms.expiries_k], integer(expires),
    expiry_of(campaign.id, rule, grant, wallet))
  local record = head_of(campaign, claim) .. winnings.items
  local entry = entry_of(session, 'grant.made', campaign, claim.said)
  put_winnings(entry, winnings, '')
  entry[#entry + 1], entry[#entry + 2] = 'expires', integer(expires)
  accept(session, claim.place, session.keys[claim.k], claim.field, record, entry)
  return 'A' .. record
end
