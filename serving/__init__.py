"""From snapshots to answers: what may be served, who answers now, and what was answered.

Release        `release` (judges every snapshot) · `qualify` · `release_policy` (moves the alias)
Loading        `loader` (aside, warm, swap) · `sidecar` · `sidecar_client` · `sealed` · `live_model`
Scorer         `scorer` · `answering` (its contract) · `fallback` (the rungs) · `prediction_log` · `latency`
HTTP           `http` (routes) · `http_server` · `http_body` · `coalesce`
               `oip` · `oip_tensors` · `oip_values`: Open Inference Protocol v2
               `http_features` · `http_push` · `http_docs` (`catalogue`, `openapi`, `docs_page`)
Alerts         `alerts` (told once) · `alert_policy` · `alert_bounds` · `alert_window` (of late) · `alert_webhook`
Metrics        `status_metrics` (of the whole app) · `metrics_route`
Status         `board` (gathers) · `status` (the wire) · `history` · `dashboard` (the page in `page/`)
"""
