# One free cup for every ten.
total = 0
for _ in range(int(input())):
    price, cups = map(int, input().split())
    total += price * (cups - cups // 10)
print(total)
