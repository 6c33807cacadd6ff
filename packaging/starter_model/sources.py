"""Where the training text comes from: Debian packages by name, each with its license."""

from __future__ import annotations

from dataclasses import dataclass

HTML, MALLARD, PLAIN, POEMS, GLOSSES, MANUAL, DICT = (
    "html", "mallard", "plain", "poems", "glosses", "manual", "dict",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A package, the files in it that hold readable prose, and how to read them."""

    package: str
    license: str
    lang: str
    reader: str
    pattern: str
    share: int = 1  # how often the text is seen in one pass


SOURCES = (
    Source("wordnet-base", "WordNet-3.0", "en", GLOSSES, "usr/share/wordnet/data.*", 2),
    Source("gnome-user-docs", "CC-BY-SA-3.0", "en", MALLARD, "usr/share/help/C/*/*.page", 3),
    Source("gnome-user-docs", "CC-BY-SA-3.0", "zh", MALLARD, "usr/share/help/zh_CN/*/*.page", 4),
    Source("debian-handbook", "CC-BY-SA-3.0", "en", HTML, "**/html/en-US/*.html", 2),
    Source("debian-handbook", "CC-BY-SA-3.0", "zh", HTML, "**/html/zh-CN/*.html", 4),
    Source("debian-reference-en", "GPL-2.0-or-later", "en", HTML, "**/*.en.html", 1),
    Source("debian-reference-zh-cn", "GPL-2.0-or-later", "zh", HTML, "**/*.zh-cn.html", 3),
    Source("debian-faq", "GPL-2.0-or-later", "en", HTML, "**/*.en.html", 2),
    Source("debian-faq-zh-cn", "GPL-2.0-or-later", "zh", HTML, "**/*.zh-cn.html", 3),
    Source("maint-guide-zh-cn", "GPL-2.0-or-later", "zh", HTML, "**/*.zh-cn.html", 2),
    Source("debian-edu-doc-en", "GPL-2.0-or-later", "en", HTML, "**/*-manual.html", 1),
    Source("debian-edu-doc-zh-cn", "GPL-2.0-or-later", "zh", HTML, "**/*-manual.html", 2),
    Source("installation-guide-amd64", "GPL-2.0-or-later", "en", HTML, "**/en/*.html", 1),
    Source("installation-guide-amd64", "GPL-2.0-or-later", "zh", HTML, "**/zh_CN/*.html", 3),
    Source("libreoffice-help-en-us", "MPL-2.0", "en", HTML, "**/text/**/*.html", 1),
    Source("libreoffice-help-zh-cn", "MPL-2.0", "zh", HTML, "**/text/**/*.html", 2),
    Source("python3.11-doc", "PSF-2.0", "en", HTML, "**/html/tutorial/*.html", 2),
    Source("python3.11-doc", "PSF-2.0", "en", HTML, "**/html/howto/*.html", 2),
    Source("python3.11-doc", "PSF-2.0", "en", HTML, "**/html/faq/*.html", 2),
    Source("python3.11-doc", "PSF-2.0", "en", HTML, "**/html/library/*.html", 2),
    Source("python-django-doc", "BSD-3-Clause", "en", HTML, "**/html/**/*.html", 1),
    Source("dict-foldoc", "GFDL-1.2-or-later", "en", DICT, "**/foldoc.dict.dz", 1),
    Source("fortunes-zh", "GPL-3.0-or-later", "zh", POEMS, "usr/share/games/fortunes/*300", 2),
    Source("manpages-zh", "GFDL-1.2-or-later", "zh", MANUAL, "**/zh_CN/man[178]/*.gz", 2),
)
