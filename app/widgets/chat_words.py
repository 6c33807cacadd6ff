"""What an answer's end, figures and failures are called."""

from __future__ import annotations

from PySide6.QtCore import QObject

from app.viewmodels.chat_client import BROKEN, UNREACHABLE, Problem
from app.viewmodels.chat_turns import Answer

TOO_LONG = "context_length_exceeded"


class ChatWords(QObject):
    """Texts in the language that is on when they are asked for."""

    def problem(self, problem: Problem, *, partial: bool) -> str:
        """Why there is no whole answer, and what to do."""
        if problem.code == TOO_LONG and len(problem.numbers) >= 2:
            prompt, room = problem.numbers[:2]
            return self.tr(
                "The conversation has {prompt} tokens, but the model holds {room}, the answer "
                "included. Begin a shorter conversation, or delete earlier questions."
            ).format(prompt=f"{prompt:,}", room=f"{room:,}")
        known = self._by_code(problem.code) or self._by_status(problem.status)
        if problem.code == BROKEN and partial:
            known = self.tr(
                "The connection broke before the end; the server stopped or started anew. "
                "What was said until then stays."
            )
        if known:
            return known
        return self.tr("The server refused: {words}").format(words=problem.words)

    def _by_code(self, code: str) -> str:
        known = {
            UNREACHABLE: self.tr(
                "The server does not answer: it was stopped or is starting anew. Look at the "
                "Deploy page."
            ),
            BROKEN: self.tr("The connection broke before the first word. Try again."),
            "cancelled": self.tr("The request was ended on the Deploy page."),
            "expired_api_key": self.tr("The API key has expired. Make another on the Deploy page."),
            "model_not_found": self.tr(
                "This model is not served any more, or its adapter was unloaded. Choose another."
            ),
            "model_not_allowed": self.tr("The API key may not use this model."),
            "loading": self.tr("The model is still being loaded. Try again in a moment."),
            "failed": self.tr("The engine failed and is started again. Try again in a moment."),
            "engine_error": self.tr(
                "The engine failed at this answer and is started again. Try again in a moment."
            ),
            "engine_unavailable": self.tr("The engine is being started again. Try again soon."),
            "timeout": self.tr("The server took too long for this answer and gave up."),
            "unsupported_by_engine": self.tr(
                "The engine that serves this model cannot do this, for example answer in a form. "
                "Change the advanced settings."
            ),
        }  # fmt: skip
        return known.get(code, "")

    def _by_status(self, status: int) -> str:
        known = {
            401: self.tr("The server refuses the API key. Start it anew on the Deploy page."),
            429: self.tr("Too many requests for this API key. Try again in a moment."),
            503: self.tr("The server is full or not ready. Try again in a moment."),
        }  # fmt: skip
        return known.get(status, "")

    def waiting(self, problem: Problem, seconds: int) -> str:
        """While a full server is left alone."""
        why = (
            self.tr("This API key has asked too often.")
            if problem.status == 429
            else self.tr("The server is full or not ready.")
        )
        return self.tr("{why} Asked again in {n} s.").format(why=why, n=seconds)

    def facts(self, answer: Answer) -> list[str]:
        """The figures of an answer, shortest words that still say what they are."""
        found = []
        if answer.ttft_ms is not None and not answer.running:
            found.append(self.tr("first token {n} ms").format(n=f"{answer.ttft_ms:,.0f}"))
        if (speed := answer.tokens_per_second) is not None:
            found.append(self.tr("{n} tokens/s").format(n=f"{speed:,.1f}"))
        if answer.prompt_tokens:
            found.append(self._read(answer))
        if answer.tokens:
            found.append(self.tr("{n} out").format(n=f"{answer.tokens:,}"))
        if not answer.running and (end := self.end(answer.finish)):
            found.append(end)
        return found

    def explained(self, answer: Answer) -> str:
        """The same for a tooltip, in whole sentences."""
        lines = [
            self.tr("{n} tokens were read, {c} of them known from before and not computed again."),
            self.tr("{o} tokens were written, {t} of them thoughts."),
        ]
        return "\n".join(lines).format(
            n=f"{answer.prompt_tokens:,}", c=f"{answer.cached_tokens:,}",
            o=f"{answer.tokens:,}", t=f"{answer.reasoning_tokens:,}",
        )  # fmt: skip

    def _read(self, answer: Answer) -> str:
        if answer.cached_tokens:
            return self.tr("{n} in ({c} cached)").format(
                n=f"{answer.prompt_tokens:,}", c=f"{answer.cached_tokens:,}"
            )
        return self.tr("{n} in").format(n=f"{answer.prompt_tokens:,}")

    def end(self, finish: str) -> str:
        """Why an answer ended."""
        known = {
            "stop": self.tr("complete"),
            "length": self.tr("cut at the limit of tokens"),
            "stopped": self.tr("stopped by you"),
            "tool_calls": self.tr("asks for a tool"),
            "broken": self.tr("not complete"),
        }
        return known.get(finish, finish)

    def thought(self, answer: Answer) -> str:
        """The line over a folded thought."""
        seconds, tokens = answer.thought_s, answer.reasoning_tokens
        if answer.thinking:
            return self.tr("Thinking{dots} {n} s · {tokens} tokens").format(
                dots="." * (1 + int((seconds or 0) * 2) % 3),
                n=int(seconds or 0), tokens=f"{tokens:,}",
            )  # fmt: skip
        if seconds is not None and tokens:
            return self.tr("Thought for {n} s · {tokens} tokens").format(
                n=_seconds(seconds), tokens=f"{tokens:,}"
            )
        return self.tr("Thought")


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"
