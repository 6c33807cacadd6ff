"""What each field of a server is called and what it does."""

from __future__ import annotations

from typing import NamedTuple

from PySide6.QtCore import QObject


class FieldWords(NamedTuple):
    """The words of one field."""

    name: str
    help: str = ""
    unit: str = ""


class DeployFieldTexts(QObject):
    """A QObject for its `tr`: `lupdate` needs literals."""

    def field(self, key: str) -> FieldWords:
        """The words of a field of `ServeSpec`."""
        found = self._main() | self._reach() | self._limits() | self._times() | self._engines()
        return found[key]

    def engine(self, engine: str) -> tuple[str, str]:
        """An engine: its name, and when it fits."""
        return {
            "auto": (
                self.tr("Automatic"),
                self.tr("DeepDeck chooses by model and machine, and says why."),
            ),
            "native": (
                self.tr("DeepDeck's own"),
                self.tr(
                    "The fastest here for Llama, Qwen and DeepSeek models, on a card or the "
                    "processor."
                ),
            ),
            "transformers": (
                self.tr("transformers"),
                self.tr("Runs nearly every model, but slower. For those that DeepDeck's own "
                        "engine does not know."),
            ),
            "vllm": (
                self.tr("vLLM"),
                self.tr("For many users and several cards or computers. Linux or WSL, installed "
                        "in an environment of its own."),
            ),
            "llama_cpp": (
                self.tr("llama.cpp"),
                self.tr("For GGUF files, also on small machines. Needs the llama-server program."),
            ),
        }[engine]  # fmt: skip

    def precision(self, precision: str) -> tuple[str, str]:
        """A precision: its name, and what it costs."""
        return {
            "auto": (
                self.tr("Automatic"),
                self.tr("16 bits where they fit into the card, else 4; 32 on the processor."),
            ),
            "bf16": (self.tr("bf16"), self.tr("16 bits, full quality; cards from 2020 on.")),
            "fp16": (self.tr("fp16"), self.tr("16 bits for older cards, such as the T4.")),
            "fp32": (self.tr("fp32"), self.tr("32 bits: twice the memory; for the processor.")),
            "8bit": (
                self.tr("8-bit"),
                self.tr("Half the memory for the weights, slower. Needs bitsandbytes."),
            ),
            "4bit": (
                self.tr("4-bit"),
                self.tr("A quarter of the memory for the weights, a little less quality: a way "
                        "to fit a model. Needs bitsandbytes."),
            ),
        }[precision]  # fmt: skip

    def problem(self, key: str) -> str:
        """What to do about a value that cannot be."""
        texts = {
            "model": self.tr("Choose a model."),
            "host": self.tr("Enter an address, for example 127.0.0.1."),
            "allowed_hosts": self.tr(
                "Names or addresses alone, without http:// and paths: host.docker.internal."
            ),
            "allowed_origins": self.tr(
                "Each with its scheme and without a path: http://localhost:3000. A * for all pages "
                "is refused: any page that is open could ask then."
            ),
            "vllm_python": self.tr("Choose the Python of an environment with vLLM."),
            "llama_server": self.tr("Choose the llama-server program."),
        }
        return texts.get(key, self.tr("This value is not possible."))

    def _main(self) -> dict[str, FieldWords]:
        return {
            "model": FieldWords(self.tr("&Model"), self.tr("What answers the requests.")),
            "adapters": FieldWords(
                self.tr("&Adapters"),
                self.tr("What trainings on this model have learned; each becomes a model name "
                        "beside the base model. The first one answers by default."),
            ),
            "engine": FieldWords(self.tr("&Engine")),
            "precision": FieldWords(self.tr("P&recision")),
            "device": FieldWords(self.tr("&Device"), self.tr("Where the model runs.")),
            "cpu_offload": FieldWords(
                self.tr("Use the computer's memory too"),
                self.tr("What the card cannot hold stays outside: it works, but slowly."),
            ),
            "prefix_cache": FieldWords(
                self.tr("Remember beginnings of prompts"),
                self.tr("A chat that goes on, or a system prompt that all share, is read once."),
            ),
            "cuda_graphs": FieldWords(
                self.tr("CUDA graphs"),
                self.tr("Faster answers for a few seconds more at the start."),
            ),
            "merge_adapter": FieldWords(
                self.tr("Fold the adapter into the weights"),
                self.tr("Faster, but the base model is not there beside it."),
            ),
        }  # fmt: skip

    def _reach(self) -> dict[str, FieldWords]:
        return {
            "port": FieldWords(self.tr("&Port"), self.tr("0 takes any free one.")),
            "reach": FieldWords(
                self.tr("Who may &reach it"), self.tr("The key is asked for in any case.")
            ),
            "host": FieldWords(
                self.tr("Address"), self.tr("Of this computer, in the network to listen in.")
            ),
            "allowed_hosts": FieldWords(
                self.tr("More host names"),
                self.tr("Names under which programs ask, with commas: host.docker.internal."),
            ),
            "allowed_origins": FieldWords(
                self.tr("Web pages that may ask"),
                self.tr("Origins with commas, such as http://localhost:3000. None by default."),
            ),
            "ai_label": FieldWords(
                self.tr("Label answers as made by AI"),
                self.tr("In the text and in a header, as laws of some countries ask for."),
            ),
            "audit_log": FieldWords(
                self.tr("Keep an audit log"),
                self.tr("Who asked what kind of thing when; never the text."),
            ),
        }

    def _limits(self) -> dict[str, FieldWords]:
        tokens, requests = self.tr("tokens"), self.tr("requests")
        return {
            "max_context_tokens": FieldWords(
                self.tr("Longest conversation"),
                self.tr("Prompt and answer together; more memory a chat."),
                tokens,
            ),
            "max_batch_size": FieldWords(
                self.tr("Answers at a time"), self.tr("More wait in the queue."), requests
            ),
            "memory_share": FieldWords(
                self.tr("Share of the card"),
                self.tr("Of its memory, all programs together."),
                "%",
            ),
            "prefill_tokens": FieldWords(
                self.tr("Prompt read in one step"),
                self.tr("Smaller: long prompts hold up others less."),
                tokens,
            ),
            "queue_limit": FieldWords(
                self.tr("Queue"), self.tr("More are told to come again (503)."), requests
            ),
            "queue_limit_tokens": FieldWords(
                self.tr("Queue, prompt tokens"), self.tr("Whichever limit is met first."), tokens
            ),
            "max_new_tokens": FieldWords(
                self.tr("Longest answer"), self.tr("The most a program may ask for."), tokens
            ),
            "default_new_tokens": FieldWords(
                self.tr("Usual answer"), self.tr("When a program does not say how long."), tokens
            ),
        }

    def _times(self) -> dict[str, FieldWords]:
        seconds = self.tr("s")
        return {
            "queue_timeout_s": FieldWords(
                self.tr("Wait in the queue"), self.tr("Longer waits are refused."), seconds
            ),
            "request_timeout_s": FieldWords(
                self.tr("Time for an answer"), self.tr("Then it ends as it is."), seconds
            ),
            "drain_s": FieldWords(
                self.tr("Time to finish"), self.tr("For open requests when it stops."), seconds
            ),
            "max_restarts": FieldWords(
                self.tr("Restarts"), self.tr("Of a crashed engine, before it gives up.")
            ),
            "remember_requests": FieldWords(
                self.tr("Requests to remember"),
                self.tr("In memory only, to open them in the chat; 0: none."),
                self.tr("requests"),
            ),
        }

    def _engines(self) -> dict[str, FieldWords]:
        return {
            "vllm_python": FieldWords(
                self.tr("Python with vLLM"),
                self.tr("The Python of an environment with vLLM, for example ~/vllm/bin/python."),
            ),
            "tensor_parallel": FieldWords(
                self.tr("Cards for the model"), self.tr("It is split over so many.")
            ),
            "ray_address": FieldWords(
                self.tr("Ray cluster"), self.tr("Address of several computers; empty: this one.")
            ),
            "llama_server": FieldWords(
                self.tr("llama-server program"), self.tr("From a release of llama.cpp.")
            ),
            "gpu_layers": FieldWords(
                self.tr("Layers on the card"), self.tr("The rest runs on the processor.")
            ),
        }
