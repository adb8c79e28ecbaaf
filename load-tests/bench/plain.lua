-- The same request again and again: wrk … -s plain.lua URL
done = dofile(string.match(debug.getinfo(1, "S").source, "^@(.*/)") .. "summary.lua")
