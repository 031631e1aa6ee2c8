"""Formats of text: e-mail addresses, phone numbers, currencies, countries, languages. Pure.

A format says how a text looks, not whether what it names exists: `+15550100` may be nobody's number. Nothing is
corrected: a text that is not in the format is refused, and the model is where it is put right.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# white space, and what has no width
INVISIBLE = "\\s\u200b-\u200f\u2060\ufeff"
_ATOM = f'[^{INVISIBLE}@<>,;:"()\\[\\]\\\\]'
_LABEL = f'[^{INVISIBLE}@.<>,;:"()\\[\\]\\\\]'
EMAIL = re.compile(f"{_ATOM}{{1,64}}+@{_LABEL}++(?:\\.{_LABEL}++)++")
# ITU-T E.164, 6: a country code and a number, 15 digits at most
_PHONE = re.compile("\\+[1-9][0-9]{6,14}")
# RFC 5646, 2.1, without the grandfathered tags: language, script, region, variants, extensions, private use
_LANGUAGE = re.compile(
    "(?:[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})(?:-[a-z]{4})?(?:-(?:[a-z]{2}|[0-9]{3}))?"
    "(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*(?:-[a-wy-z0-9](?:-[a-z0-9]{2,8})+)*(?:-x(?:-[a-z0-9]{1,8})+)?",
    re.IGNORECASE | re.ASCII,
)
# ISO 4217, list one (2025), without metals and the codes for tests and for no currency; in the last line those that
# were withdrawn since 2012 and are still the currency of old orders
_CURRENCIES = frozenset(
    """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF
    CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD
    HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL
    MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON
    RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX
    USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF XCD XCG XDR XOF XPF XSU XUA YER ZAR ZMW ZWG
    ANG BYR CUC HRK LTL LVL MRO SLL STD VEF ZMK ZWL
    """.split()  # noqa: SIM905 180 words
)
# ISO 3166-1 alpha-2, officially assigned
_COUNTRIES = frozenset(
    """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC
    CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD
    GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH
    KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW
    MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC
    SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY
    UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
    """.split()  # noqa: SIM905 249 words
)
NAMES = ("email", "e164", "iso4217", "iso3166", "bcp47")


def rule_of(name: str) -> tuple[Callable[[str], object], str]:
    """Of a format: what is truthy for a text in it, and what a text in it is called.

    Args:
        name: one of `NAMES`.
    """
    rules: dict[str, tuple[Callable[[str], object], str]] = {
        "email": (EMAIL.fullmatch, "an e-mail address"),
        "e164": (_PHONE.fullmatch, "a phone number as E.164 writes it, e.g. +15550100"),
        "iso4217": (_CURRENCIES.__contains__, "a currency of ISO 4217 in capitals"),
        "iso3166": (_COUNTRIES.__contains__, "a country of ISO 3166-1 in two capitals"),
        "bcp47": (_LANGUAGE.fullmatch, "a language tag of BCP 47, e.g. pt-BR"),
    }
    return rules[name]
