"""Refuses requests as the services of agents do, on 127.0.0.1 alone. scripts/agents-measured.sh starts it.

    agents-service.py PORT

The first part of a path says what happens: /limit/v1/messages is refused with a limit, /ok/… succeeds.
"""
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ORGANIZATION = "This request would exceed your organization's rate limit of 30,000 input tokens per minute"
PER_MINUTE = (
    "Rate limit reached for gpt-x in organization org-1 on tokens per min (TPM): Limit 1, Used 1, Requested 1. "
    "Please try again in 1.898s."
)


def unified(kind, seconds):
    """The headers of a limit of an Anthropic plan."""
    until = int(time.time()) + seconds
    short = {"five_hour": "5h", "seven_day": "7d"}[kind]
    prefix = "anthropic-ratelimit-unified-"
    return {
        prefix + "status": "rejected", prefix + "reset": until, prefix + "representative-claim": kind,
        f"{prefix}{short}-status": "rejected", f"{prefix}{short}-reset": until, "retry-after": seconds,
    }


def anthropic(kind, message):
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def openai(kind, message, **more):
    return {"error": {"type": kind, "message": message, **more}}


def google(code, status, message, retry=None, quota=None):
    details = []
    if quota:
        details.append({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota}]})
    if retry:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": retry})
    return {"error": {"code": code, "message": message, "status": status, "details": details}}


CLAUDE = {
    "limit": lambda: (429, anthropic("rate_limit_error", "Try again later."), unified("five_hour", 3600)),
    "week": lambda: (429, anthropic("rate_limit_error", "Try again later."), unified("seven_day", 3 * 86400)),
    "minute": lambda: (429, anthropic("rate_limit_error", ORGANIZATION), {"retry-after": 2}),
    "busy": lambda: (529, anthropic("overloaded_error", "Overloaded"), {}),
    "broken": lambda: (500, anthropic("api_error", "Internal server error"), {}),
    "expired": lambda: (401, anthropic("authentication_error", "OAuth token has expired."), {}),
    "empty": lambda: (400, anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API."), {}),
}
CODEX = {
    "limit": lambda: (429, openai("usage_limit_reached", "Reached", plan_type="plus", resets_at=int(time.time()) + 7200), {}),
    "week": lambda: (429, openai("usage_limit_reached", "Reached", plan_type="plus", resets_at=int(time.time()) + 4 * 86400), {}),
    "minute": lambda: (429, openai("rate_limit_exceeded", PER_MINUTE), {}),
    "busy": lambda: (503, openai("server_error", "Overloaded", code="server_is_overloaded"), {}),
    "broken": lambda: (500, openai("server_error", "The server had an error"), {}),
    "expired": lambda: (401, openai("invalid_request_error", "Incorrect API key provided"), {}),
    "empty": lambda: (429, openai("insufficient_quota", "You exceeded your current quota.", code="insufficient_quota"), {}),
}
GEMINI = {
    "limit": lambda: (429, google(429, "RESOURCE_EXHAUSTED", "Please retry in 734.1s.", retry="734.1s", quota="PerMinute"), {}),
    "week": lambda: (429, google(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", quota="RequestsPerDay"), {}),
    "expired": lambda: (400, google(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."), {}),
}


def claude_succeeds(model):
    usage = {"input_tokens": 12, "cache_creation_input_tokens": 3000, "cache_read_input_tokens": 40000, "output_tokens": 1}
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": usage,
    }
    yield {"type": "message_start", "message": message}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    text = {"type": "text_delta", "text": "You've hit your limit is handled now."}
    yield {"type": "content_block_delta", "index": 0, "delta": text}
    yield {"type": "content_block_stop", "index": 0}
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": {"output_tokens": 567}}
    yield {"type": "message_stop"}


def codex_succeeds():
    yield {"type": "response.created", "response": {"id": "resp_1"}}
    text = {"type": "output_text", "text": "ERROR: You've hit your usage limit. is handled"}
    yield {"type": "response.output_item.done", "item": {"type": "message", "role": "assistant", "content": [text]}}
    usage = {
        "input_tokens": 5000, "input_tokens_details": {"cached_tokens": 4000}, "output_tokens": 321,
        "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 5321,
    }
    yield {"type": "response.completed", "response": {"id": "resp_1", "usage": usage}}


def gemini_succeeds():
    usage = {"promptTokenCount": 1200, "cachedContentTokenCount": 200, "candidatesTokenCount": 34, "totalTokenCount": 1234}
    content = {"role": "model", "parts": [{"text": "Your quota will reset after 5s is handled."}]}
    yield {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}], "usageMetadata": usage}


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        happens, _, path = self.path.lstrip("/").partition("/")
        if "messages" in path:
            self.answer(CLAUDE, happens, lambda: claude_succeeds(json.loads(body).get("model")))
        elif "responses" in path:
            self.answer(CODEX, happens, codex_succeeds)
        else:
            self.answer(GEMINI, happens, gemini_succeeds)

    do_GET = do_POST

    def answer(self, refusals, happens, succeeds):
        if happens in refusals:
            status, answer, headers = refusals[happens]()
            body = json.dumps(answer).encode()
            headers = {"content-type": "application/json", "content-length": len(body), **headers}
        elif happens == "ok":
            events = [f"data: {json.dumps(e)}\r\n\r\n" for e in succeeds()]
            if refusals is not GEMINI:
                events = [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in succeeds()]
            status, body = 200, "".join(events).encode()
            headers = {"content-type": "text/event-stream", "content-length": len(body)}
        else:
            status, body, headers = 404, b"", {"content-length": 0}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Service).serve_forever()
