"""The browser and HTTP: the page of `classicnets web` and the service of `classicnets serve`.

Knows `api`, `studies` and `support` only. Every request passes `guard`.
"""
