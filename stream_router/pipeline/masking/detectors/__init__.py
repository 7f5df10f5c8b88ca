"""Private values in free text: e-mail, phones, cards, IBANs, social security numbers, IP addresses."""
