"""Words to fill templates with. Written for this project; nothing is taken from a corpus."""

from __future__ import annotations

NAMES_EN = """Tom Anna Ben Lily Max Emma Sam Mia Leo Nora Jack Ella Oscar Ruth Paul Ivy Mark Zoe Alex Kate Omar Lina
Hugo Sara Peter Alice Bob Carol David Eve Frank Grace Henry Jane John Mary Nick Rosa Tim Wendy""".split()
NAMES_ZH = (
    "小明 小红 小华 小丽 小刚 小芳 小军 小美 小强 小玲 阿明 阿芳 李雷 韩梅梅 王芳 张伟 刘洋 陈静 老师 妈妈".split()
)

THINGS_EN = """apples pears books pens stamps coins marbles cards eggs oranges cookies balloons shells stickers flowers
candles tickets bottles buttons pencils plums cups keys toys bananas peaches lemons carrots stones boxes chairs leaves
nuts cakes candies dollars points photos bricks birds""".split()
THINGS_ZH = (
    "个:苹果 个:梨 本:书 支:笔 张:邮票 枚:硬币 颗:弹珠 张:卡片 个:鸡蛋 个:橘子 块:饼干 个:气球 朵:花 根:蜡烛 张:票"
    " 个:瓶子 颗:糖 个:桃子 只:鸡 只:羊 条:鱼 块:砖 元:钱 张:照片 个:玩具 棵:树 把:椅子 颗:豆子 个:杯子 支:铅笔"
).split()

ITEMS_EN = """apple pear plum fig lemon cherry grape peach melon kiwi mango banana cat dog bird fish horse cow sheep goat
fox wolf bear duck red blue green white black pink grey brown cup plate spoon fork knife bowl pen book desk lamp chair
table door window sun moon star cloud rain snow wind tree leaf rose lily stone river hill road car bus train ship bike
Tom Anna Ben Lily bread milk egg rice salt tea hat coat shoe sock glove ring bell drum key coin""".split()
ITEMS_ZH = """苹果 梨 李子 柠檬 樱桃 葡萄 桃子 西瓜 芒果 香蕉 猫 狗 鸟 鱼 马 牛 羊 狐狸 狼 熊 鸭子 红 蓝 绿 白 黑 粉 灰 杯子
盘子 勺子 叉子 刀 碗 笔 书 桌子 灯 椅子 门 窗 太阳 月亮 星星 云 雨 雪 风 树 叶子 玫瑰 石头 河 山 路 汽车 火车 船 小明 小红
面包 牛奶 鸡蛋 米饭 盐 茶 帽子 大衣 鞋 袜子 铃 鼓 钥匙 硬币""".split()

WORDS_EN = """banana strawberry letter balloon coffee mississippi apple orange window kitchen butter yellow hello world
success rabbit pepper cheese school summer winter spring autumn river mountain garden flower station teacher student
computer keyboard language planet universe cloud engine gateway overspill model token memory server request answer
question number counting sorting addition carry borrow digit digital elephant giraffe tiger penguin parrot turtle
dolphin butterfly dragonfly mosquito spider lobster oyster chocolate biscuit sandwich tomato potato onion cucumber
carrot cabbage mushroom vanilla cinnamon ginger garlic parsley bottle bicycle railway airport harbour village castle
bridge tower temple museum library theatre cinema hospital office factory market street avenue corner village island
desert forest jungle ocean beach valley canyon volcano thunder lightning rainbow sunshine moonlight starlight shadow
mirror curtain carpet blanket pillow mattress ladder hammer needle thread ribbon button pocket jacket trousers sweater
umbrella suitcase passport ticket journey holiday birthday wedding festival concert orchestra violin trumpet piano
guitar melody rhythm harmony silence whisper laughter sorrow happiness courage kindness patience wisdom freedom justice
science physics chemistry biology history geography mathematics philosophy psychology economics literature poetry
committee address occurrence accommodate bookkeeper aardvark llama kangaroo raccoon squirrel hippopotamus rhinoceros
cat dog sun moon tree book bee see eel tee level noon radar civic kayak refer stats tenet data deep seek""".split()

CHARACTERS_ZH = (
    "你好世界天地人和春夏秋冬山水风云日月星辰花草树木鸟鱼虫马牛羊东西南北上下左右前后大小多少高低长短红黄蓝白黑"
    "一二三四五六七八九十百千万爸妈哥姐弟妹老师同学朋友家国学校医院车站机场书笔纸桌椅门窗灯火光明电话脑手足口耳目"
    "心中国北京上海快乐喜欢音乐电影故事词语句子数字计算加减相差比较排序"
)

CITIES_EN = """Paris London Berlin Rome Madrid Vienna Prague Oslo Tokyo Beijing Shanghai Delhi Mumbai Cairo Lagos Nairobi
Sydney Boston Chicago Denver Seattle Toronto Lima Bogota Dublin Lisbon Athens Warsaw Helsinki Stockholm Zurich Geneva
Munich Hamburg Milan Seoul Osaka Bangkok Hanoi Singapore Dubai Istanbul Moscow Kyiv Budapest Brussels Amsterdam
Copenhagen Austin Miami Dallas Houston Shenzhen Hangzhou Chengdu Wuhan Nanjing""".split()
CITIES_TWO_EN = ["New York", "Los Angeles", "San Francisco", "Hong Kong", "Cape Town", "Mexico City", "São Paulo"]
CITIES_ZH = """北京 上海 广州 深圳 杭州 南京 成都 重庆 武汉 西安 天津 苏州 长沙 青岛 大连 厦门 昆明 哈尔滨 沈阳 济南 郑州 福州
合肥 南昌 贵阳 兰州 太原 拉萨 海口 三亚 香港 澳门 台北 东京 巴黎 伦敦 纽约 柏林 罗马 悉尼 莫斯科 首尔 曼谷 新加坡 洛杉矶""".split()

TOPICS_EN = """France Germany China Japan Brazil India Canada Egypt Spain Italy Mars Jupiter the moon the sun gravity light
water iron gold oxygen atoms electrons DNA cells evolution dinosaurs volcanoes oceans rivers whales bees cats dogs horses
trees roses mushrooms bread cheese pizza coffee tea wine chess football tennis basketball music jazz Mozart Beethoven
Shakespeare Einstein Newton Napoleon Caesar Plato painting photography poetry novels films history philosophy physics
chemistry biology medicine vaccines cancer sleep dreams happiness love war peace democracy money inflation stocks
bitcoin taxes banks computers Python Java Rust JavaScript SQL Linux Docker Kubernetes HTTP databases compilers
quicksort recursion encryption blockchain robots drones rockets satellites cars trains bicycles aeroplanes ships bridges
houses gardens cooking pasta soup cake chocolate sugar salt vitamins exercise yoga meditation school exams homework
interviews startups marketing law contracts marriage children parenting fashion shoes hats weather climate earthquakes
storms snow deserts forests islands mountains the internet search engines social media email machine learning
transformers attention neural networks GPUs quantum mechanics black holes the universe time travel""".split()
TOPICS_ZH = """法国 德国 中国 日本 巴西 印度 加拿大 埃及 火星 木星 月球 太阳 引力 光 水 铁 黄金 氧气 原子 电子 基因 细胞 进化 恐龙 火山
海洋 河流 鲸鱼 蜜蜂 树木 玫瑰 蘑菇 面包 奶酪 披萨 咖啡 茶叶 红酒 围棋 足球 网球 篮球 音乐 爵士乐 莫扎特 贝多芬 莎士比亚 爱因斯坦 牛顿
李白 杜甫 孔子 秦始皇 三国演义 红楼梦 西游记 绘画 摄影 诗歌 小说 电影 历史 哲学 物理 化学 生物 医学 疫苗 癌症 睡眠 梦 幸福 爱情 战争 和平
民主 货币 通货膨胀 股票 比特币 税收 银行 计算机 编程 数据库 编译器 快速排序 递归 加密 区块链 机器人 无人机 火箭 卫星 汽车 高铁 自行车 飞机
桥梁 房价 花园 烹饪 饺子 火锅 蛋糕 巧克力 维生素 运动 瑜伽 冥想 考试 作业 面试 创业 营销 法律 合同 婚姻 教育 时尚 气候变化 地震 台风 沙漠
森林 岛屿 互联网 搜索引擎 社交媒体 机器学习 神经网络 量子力学 黑洞 宇宙 时间旅行 春节 中秋节 长城 故宫 熊猫""".split()

VERBS_EN = """explain describe define summarise discuss compare analyse criticise list outline translate rewrite improve
draft invent imagine predict recommend review teach prove design build draw paint sing fix debug optimise""".split()
