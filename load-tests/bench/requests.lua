-- One operation of the benchmark for wrk: wrk … -s requests.lua URL -- OPERATION EVENTS TOKENS SEED
-- TOKENS is a file with one access token a line, of person 0, 1, 2 …; the world is that of fill.sql. With large.sql there are
-- `participants:0`, `history:0`, `inbox:0`, `answer:0` of something ordinary, and with `:1` of the large one.
local operation, events, tokens, people, answered, large = nil, 0, {}, 0, {}, nil

local function key(kind, n)
  return string.format("01940000-%04x-7000-8000-%012x", kind, n)
end

local function headers(person, json)
  local all = { ["authorization"] = "Bearer " .. tokens[person + 1] }
  if json then all["content-type"] = "application/json" end
  return all
end

local function any_person()
  return math.random(0, #tokens - 1)
end

-- One of the 40 events to which a person is invited.
local function invited(person)
  return (math.floor(person / 2) + math.random(0, 39) * math.floor(people / 2)) % events
end

-- A public event, which everybody sees.
local function public()
  local n = math.random(0, events - 1)
  if n % 4 == 0 then n = n + 1 end
  return n
end

local EVENT = '{"title":"Harbour meeting %d","description":"' .. string.rep("What there is to talk about. ", 7)
  .. '","location":"Pier %d","start":{"date_time":"2027-06-%02dT18:00:00","time_zone":"Europe/Berlin"},'
  .. '"end":{"date_time":"2027-06-%02dT20:00:00","time_zone":"Europe/Berlin"},"capacity":50,"visibility":"public",'
  .. '"tags":["tag%d","harbour"],"metadata":{"room":%d,"catering":true}}'
local STATUSES = { "accepted", "declined", "tentative" }

local OPERATIONS = {
  get = function()
    return wrk.format("GET", "/api/v1/events/" .. key(2, public()), headers(any_person()))
  end,
  page = function()
    return wrk.format("GET", "/api/v1/events/?limit=50", headers(any_person()))
  end,
  window = function()
    -- What lies in a working day if there are 100,000 events, about 50; in ten days of 10,000 as many.
    local from = 1798761600 + math.random(0, 600) * 86400
    local to = os.date("!%Y-%m-%dT%H:%M:00Z", from + 8 * 3600 * 100000 / events)
    return wrk.format("GET", "/api/v1/events/?limit=50&from=" .. os.date("!%Y-%m-%dT%H:00:00Z", from) .. "&to=" .. to, headers(any_person()))
  end,
  search = function()
    return wrk.format("GET", "/api/v1/events/?limit=50&q=topic" .. math.random(100, 999), headers(any_person()))
  end,
  inbox = function()
    -- The last person's inbox is the large one.
    local person = large and #tokens - 2 + large or any_person()
    return wrk.format("GET", "/api/v1/notifications/?limit=50", headers(person))
  end,
  participants = function()
    return wrk.format("GET", "/api/v1/events/" .. key(7, large) .. "/participants/?limit=50", headers(0))
  end,
  history = function()
    return wrk.format("GET", "/api/v1/events/" .. key(7, large) .. "/history?limit=50", headers(0))
  end,
  create = function()
    local day = math.random(1, 30)
    local n = math.random(0, 999999)
    return wrk.format("POST", "/api/v1/events/", headers(any_person(), true), string.format(EVENT, n, n % 7, day, day, n % 50, n % 100))
  end,
  answer = function()
    local person = any_person()
    if large and person == 0 then person = 1 end
    local event = large and key(7, large) or key(2, invited(person))
    local path = "/api/v1/events/" .. event .. "/participants/" .. key(1, person) .. "/status"
    -- Each answer differs from the last to the same invitation: saying the same again would write nothing.
    local said = (answered[path] or 0) % 3 + 1
    answered[path] = said
    return wrk.format("PATCH", path, headers(person, true), '{"status":"' .. STATUSES[said] .. '"}')
  end,
}

function init(args)
  local name, which = string.match(args[1], "^(%w+):?(%d*)$")
  operation, large, events = OPERATIONS[name], tonumber(which), tonumber(args[2])
  people = math.floor(events / 20)
  for line in io.lines(args[3]) do tokens[#tokens + 1] = line end
  math.randomseed(tonumber(args[4]))
  if operation == nil then error("unknown operation " .. tostring(args[1])) end
end

function request()
  return operation()
end

done = dofile(string.match(debug.getinfo(1, "S").source, "^@(.*/)") .. "summary.lua")
