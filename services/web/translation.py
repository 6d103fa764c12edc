"""Every sentence of the pages goes through `_`, so that a translation is a catalogue and nothing else."""

import gettext

TRANSLATIONS = gettext.NullTranslations()
_ = TRANSLATIONS.gettext
