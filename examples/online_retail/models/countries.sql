-- The shop's names of countries, as ISO 3166 codes. What is no country has none: "Unspecified", "European Community", and the
-- Channel Islands, which are two (Jersey and Guernsey).
select name, code
from (values
    ('Australia', 'AU'), ('Austria', 'AT'), ('Bahrain', 'BH'), ('Belgium', 'BE'), ('Brazil', 'BR'), ('Canada', 'CA'),
    ('Cyprus', 'CY'), ('Czech Republic', 'CZ'), ('Denmark', 'DK'), ('EIRE', 'IE'), ('Finland', 'FI'), ('France', 'FR'),
    ('Germany', 'DE'), ('Greece', 'GR'), ('Hong Kong', 'HK'), ('Iceland', 'IS'), ('Israel', 'IL'), ('Italy', 'IT'),
    ('Japan', 'JP'), ('Lebanon', 'LB'), ('Lithuania', 'LT'), ('Malta', 'MT'), ('Netherlands', 'NL'), ('Norway', 'NO'),
    ('Poland', 'PL'), ('Portugal', 'PT'), ('RSA', 'ZA'), ('Saudi Arabia', 'SA'), ('Singapore', 'SG'), ('Spain', 'ES'),
    ('Sweden', 'SE'), ('Switzerland', 'CH'), ('USA', 'US'), ('United Arab Emirates', 'AE'), ('United Kingdom', 'GB')
) as names (name, code)
