-- What each script of the benchmark prints at its end: one line of JSON.
return function(summary, latency, _)
  local e = summary.errors
  io.write(string.format('\n{"requests":%d,"seconds":%f,"p50_us":%d,"p99_us":%d,"max_us":%d,"bytes":%d,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), latency.max, summary.bytes, e.status,
    e.connect + e.read + e.write + e.timeout))
end
