# Treats the clock as one that carries: minutes over 59 add an hour.
now, wanted = input().split()
h1, m1 = map(int, now.split(":"))
h2, m2 = map(int, wanted.split(":"))
difference = (h2 * 60 + m2 - h1 * 60 - m1) % (24 * 60)
print(difference // 60 + difference % 60)
