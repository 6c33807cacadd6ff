"""Conversations that the user keeps: their form, their folder, and what they are exported as."""

from core.chats.conversation import Conversation, SavedAnswer, SavedColumn, SavedTurn
from core.chats.export import MarkdownWords, as_json, as_markdown, as_training
from core.chats.store import ChatStore, ChatSummary
from core.chats.thinking import thinking_switch

__all__ = [
    "ChatStore",
    "ChatSummary",
    "Conversation",
    "MarkdownWords",
    "SavedAnswer",
    "SavedColumn",
    "SavedTurn",
    "as_json",
    "as_markdown",
    "as_training",
    "thinking_switch",
]
