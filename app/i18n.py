"""The language of the window: translators in and out at run time, no restart."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QCoreApplication, QLibraryInfo, QLocale, QObject, QTranslator, Signal

from core.config.app_settings import LanguageChoice
from core.paths import RESOURCES

Language = Literal["en", "zh"]

I18N = RESOURCES / "i18n"
AREAS = ("shell", "form", "train", "serve", "demo")
"""One translation file each, so that several people can edit texts at once."""


class LanguageManager(QObject):
    """Installs the translators. Widgets hear of it by `QEvent.LanguageChange`; `changed` is for
    objects that are no widgets.
    """

    changed = Signal()

    _current: LanguageManager | None = None

    def __init__(self, choice: LanguageChoice = "system", parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._translators: list[QTranslator] = []
        self._choice: LanguageChoice = choice
        self._language: Language = "en"
        LanguageManager._current = self

    @classmethod
    def current(cls) -> LanguageManager:
        """The application's language. There is one, as there is one `QApplication`."""
        if cls._current is None:
            cls._current = LanguageManager("en")
        return cls._current

    @property
    def language(self) -> Language:
        """The language that is on: the argument of `app.messages`."""
        return self._language

    @property
    def choice(self) -> LanguageChoice:
        """What the user chose."""
        return self._choice

    def set_choice(self, choice: LanguageChoice) -> None:
        """Choose a language, or follow the system."""
        self._choice = choice
        if self._wanted() != self._language:
            self.apply()

    def apply(self) -> None:
        """Install the translators of the wanted language."""
        self._remove()
        self._language = self._wanted()
        chinese = QLocale(QLocale.Language.Chinese, QLocale.Country.China)
        english = QLocale(QLocale.Language.English, QLocale.Country.UnitedStates)
        # The default locale also picks the Simplified forms of Han characters.
        QLocale.setDefault(chinese if self._language == "zh" else english)
        if self._language == "zh":
            self._install()
        self.changed.emit()

    def _install(self) -> None:
        qt = QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)
        files = [(f"{area}_zh_CN", str(I18N)) for area in AREAS]
        for name, folder in [("qtbase_zh_CN", qt), *files]:
            translator = QTranslator(self)
            if translator.load(name, folder):
                QCoreApplication.installTranslator(translator)
                self._translators.append(translator)

    def _remove(self) -> None:
        for translator in self._translators:
            QCoreApplication.removeTranslator(translator)
            translator.deleteLater()
        self._translators.clear()

    def _wanted(self) -> Language:
        if self._choice == "system":
            return system_language()
        return "zh" if self._choice == "zh_CN" else "en"


def system_language() -> Language:
    """Chinese where the system's first language is Chinese, else English."""
    first = (QLocale.system().uiLanguages() or ["en"])[0]
    return "zh" if first.lower().startswith("zh") else "en"
